// sdk.inverterTelemetry and sdk.oodaTerminal: what is asked, what is made of the answer, how often it is sent.

import assert from "node:assert/strict";
import { test } from "node:test";

import {
  AuthenticationError,
  ConfigurationError,
  OnaSDK,
  RateLimitError,
  ServiceUnavailableError,
  ValidationError,
} from "@keystile/sdk";
import { serving } from "../testing/stub.js";

const time_range = { start: "2025-11-01T00:00:00", end: "2025-11-01T12:00:00" };
const QUERY = { asset_id: "INV-1", site_id: "Sibaya", time_range };
const RECORD = {
  asset_id: "INV-1",
  site_id: "Sibaya",
  timestamp: "2025-11-01T08:10:00+00:00",
  power: 90.195,
  kWh: 7.5163,
  inverter_state: 1,
  run_state: 1,
};

const sdkOf = ({ url }) =>
  new OnaSDK({
    endpoints: { inverterTelemetry: `${url}/prod/`, oodaTerminal: url },
    inverterTelemetryApiKey: "k1",
    oodaTerminalApiKey: "k2",
    retries: 2,
    retryDelay: 0,
  });
const get = (stub, changes) => sdkOf(stub).inverterTelemetry.getInverterTelemetry({ ...QUERY, ...changes });

test("records are asked for as the platform expects", async (t) => {
  const stub = await serving(t, [200, { records: [{ ...RECORD, PF: 0.99 }], next_cursor: "c2" }]);
  const records = await get(stub, { asset_id: "INV 1&", resolution: "daily", limit: 7, cursor: "c1" });
  const url = new URL(stub.seen[0].path, stub.url);
  assert.equal(url.pathname, "/prod/telemetry/inverter");
  assert.deepEqual(Object.fromEntries(url.searchParams), {
    asset_id: "INV 1&", site_id: "Sibaya", ...time_range, resolution: "daily", limit: "7", cursor: "c1",
  });
  assert.equal(stub.seen[0].headers["x-api-key"], "k1");
  assert.deepEqual([...records], [{ ...RECORD, PF: 0.99 }]);
  assert.equal(records.nextCursor, "c2");
  stub.replies = [[200, { records: [] }]];
  assert.equal((await get(stub)).nextCursor, null);
  assert.ok(!stub.seen[1].path.includes("cursor"));
});

test("alerts are asked for with their own key", async (t) => {
  const stub = await serving(t, [200, { alerts: [{ id: "a" }] }]);
  const query = { terminal_device_id: "T-1", site_id: "Sibaya", time_range };
  assert.deepEqual(await sdkOf(stub).oodaTerminal.getTerminalAlerts(query), [{ id: "a" }]);
  assert.match(stub.seen[0].path, /^\/ooda\/terminal\?terminal_device_id=T-1&site_id=Sibaya&/);
  assert.equal(stub.seen[0].headers["x-api-key"], "k2");
});

test("a record that lacks a required member is not given", async (t) => {
  const stub = await serving(t, [200, {}]);
  for (const member of Object.keys(RECORD)) {
    for (const value of [undefined, null]) {
      stub.replies = [[200, { records: [{ ...RECORD, [member]: value }] }]];
      await assert.rejects(get(stub), { constructor: ValidationError, message: `a telemetry record lacks ${member}` });
    }
  }
});

test("an answer without records is no answer, and is not asked for again", async (t) => {
  for (const body of [{}, { records: null }, { records: {} }, { records: [1] }, { records: [[]] }]) {
    const stub = await serving(t, [200, body]);
    await assert.rejects(get(stub), ServiceUnavailableError);
    assert.equal(stub.seen.length, 1);
  }
});

test("what the server would refuse is not sent", async (t) => {
  const stub = await serving(t, [200, { records: [] }]);
  for (const [changes, text] of [
    [{ time_range: { start: "2025-11-02T00:00:00", end: "2025-11-01T00:00:00" } }, /after/],
    [{ time_range: { start: "2025-11-01T00:00:00", end: "2025-12-02T00:00:01" } }, /31 days/],
    [{ time_range: { start: "yesterday", end: "2025-11-01T00:00:00" } }, /time_range.start/],
    [{ time_range: { start: "2025-13-01T00:00:00", end: "2025-11-01T00:00:00" } }, /time_range.start/],
    [{ time_range: { start: "2025-11-01T00:00:00" } }, /time_range.end/],
    [{ time_range: undefined }, /time_range.start/],
    [{ limit: 0 }, /limit/],
    [{ limit: 1001 }, /limit/],
    [{ limit: "7" }, /limit/],
    [{ resolution: "" }, /resolution/],
    [{ asset_id: "" }, /asset_id/],
    [{ site_id: "" }, /site_id/],
  ]) {
    await assert.rejects(get(stub, changes), (error) => error instanceof ValidationError && text.test(error.message));
  }
  assert.equal(stub.seen.length, 0);
  for (const [start, end] of [
    ["2025-11-01T00:00:00", "2025-12-02T00:00:00"],
    ["2025-11-01T00:00:00Z", "2025-11-01T00:00:00"],
    ["2025-11-01T02:00:00+02:00", "2025-11-01T00:00:00Z"],
  ]) {
    assert.equal((await get(stub, { time_range: { start, end } })).length, 0);
  }
});

test("a read is sent again while the server cannot answer, and given up after its retries", async (t) => {
  const stub = await serving(t, [503, {}], [500, {}], [200, { records: [] }]);
  await get(stub);
  assert.equal(stub.seen.length, 3);
  stub.replies = [[503, {}, { "Retry-After": "9" }]];
  await assert.rejects(get(stub), { constructor: ServiceUnavailableError, retryAfter: 9 });
  assert.equal(stub.seen.length, 6);
});

test("an answer that will not change is not asked for again", async (t) => {
  for (const status of [302, 400, 401, 403, 404, 429]) {
    const stub = await serving(t, [status, {}]);
    await assert.rejects(get(stub), (error) => error instanceof RateLimitError === (status === 429));
    assert.equal(stub.seen.length, 1);
  }
});

test("what is not given comes from the environment, and what is nowhere is told at first use", async (t) => {
  const names = ["INVERTER_TELEMETRY_ENDPOINT", "INVERTER_TELEMETRY_API_KEY", "OODA_TERMINAL_ENDPOINT", "OODA_TERMINAL_API_KEY", "ONA_AUTH_ENDPOINT"];
  const before = { ...process.env };
  t.after(() => Object.assign(process.env, before));
  names.forEach((name) => delete process.env[name]);
  const sdk = new OnaSDK();
  assert.throws(() => sdk.auth, ConfigurationError);
  assert.throws(() => sdk.inverterTelemetry, ConfigurationError);
  assert.throws(() => new OnaSDK({ endpoints: { inverterTelemetry: "http://t.example" } }).inverterTelemetry, ConfigurationError);
  assert.throws(() => new OnaSDK({ endpoints: { oodaTerminal: "https://t.example" } }).oodaTerminal, AuthenticationError);
  assert.throws(
    () => new OnaSDK({ endpoints: { oodaTerminal: "https://t.example" }, oodaTerminalApiKey: "a\r\nb" }).oodaTerminal,
    ValidationError,
  );
  const stub = await serving(t, [200, { records: [], alerts: [], token: "a.b.c" }]);
  names.forEach((name) => (process.env[name] = name.endsWith("KEY") ? name : stub.url));
  await sdk.inverterTelemetry.getInverterTelemetry(QUERY);
  await sdk.oodaTerminal.getTerminalAlerts({ terminal_device_id: "T-1", site_id: "Sibaya", time_range });
  await sdk.auth.login("u", "p");
  assert.deepEqual(stub.seen.map(({ headers }) => headers["x-api-key"]), [names[1], names[3], undefined]);
});
