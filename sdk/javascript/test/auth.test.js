// sdk.auth: what is sent, what is kept, and what it rejects with.

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";

import {
  AuthenticationError,
  ConfigurationError,
  OnaSDK,
  OnaSDKError,
  RateLimitError,
  ResourceNotFoundError,
  ServiceUnavailableError,
  TimeoutError,
  ValidationError,
} from "@keystile/sdk";
import { hmacSigner, jwt, ONA_CLAIMS } from "../testing/issuer.js";
import { serving } from "../testing/stub.js";

const { events } = JSON.parse(readFileSync(new URL("../../python/tests/ona_lambda_events.json", import.meta.url), "utf8"));
const SIGNED_IN = { token: "a.b.c", user: { user_id: "u1", username: "u" }, message: "Login successful" };

const authOf = (stub, more) => new OnaSDK({ endpoints: { auth: `${stub.url}/prod/` }, ...more }).auth;

/** One call for each of the platform's events, in their order. */
const calls = (auth) => [
  () => auth.login("user@example.com", "password"),
  () => auth.verifyMfa("MFA", "123456"),
  () => auth.refreshToken(),
  () => auth.getApiKeyInfo("opa_prod_xxxxx"),
  () => auth.validateApiKey("opa_prod_xxxxx", "Sibaya"),
  () => auth.exchangeToken("external_jwt", "external-sso"),
];

const is = (kind, message, more = {}) => (error) => {
  assert.equal(error.constructor, kind, error.stack);
  assert.ok(error instanceof OnaSDKError);
  assert.equal(error.name, kind.name);
  message instanceof RegExp ? assert.match(error.message, message) : assert.equal(error.message, message);
  for (const [name, value] of Object.entries(more)) {
    assert.equal(error[name], value);
  }
  return true;
};

const token = (changes) => jwt(hmacSigner("any"), { ...ONA_CLAIMS, exp: Math.floor(Date.now() / 1000) + 60, ...changes });

test("every call carries what the platform's own client sends", async (t) => {
  const stub = await serving(t, [200, { ...SIGNED_IN, valid: true }]);
  const auth = authOf(stub);
  for (const [n, call] of calls(auth).entries()) {
    auth.setToken("JWT");
    await call();
    const seen = stub.seen.pop();
    assert.equal(`${seen.method} ${seen.path}`, `POST /prod${events[n].path}`);
    assert.equal(seen.headers.authorization, events[n].headers?.Authorization);
    assert.deepEqual(seen.body === "" ? undefined : JSON.parse(seen.body), events[n].body && JSON.parse(events[n].body));
    assert.equal(seen.headers.cookie, undefined);
  }
});

test("the token of a login is kept and sent", async (t) => {
  const stub = await serving(t, [200, SIGNED_IN], [200, { token: "d.e.f", expires_in: 86400 }], [200, {}]);
  const auth = authOf(stub);
  assert.deepEqual([auth.isAuthenticated(), auth.getToken(), auth.getAuthHeader()], [false, null, {}]);
  assert.deepEqual(await auth.login("u", "p"), SIGNED_IN);
  assert.deepEqual([auth.isAuthenticated(), auth.getAuthHeader()], [true, { Authorization: "Bearer a.b.c" }]);
  assert.deepEqual(await auth.refreshToken(), { token: "d.e.f", expires_in: 86400 });
  assert.equal(auth.getToken(), "d.e.f");
  await auth.logout();
  assert.equal(auth.isAuthenticated(), false);
  assert.deepEqual(
    stub.seen.slice(1).map(({ path, headers }) => [path, headers.authorization]),
    [["/prod/api/auth/refresh", "Bearer a.b.c"], ["/prod/api/auth/logout", "Bearer d.e.f"]],
  );
});

test("an MFA challenge is no login", async (t) => {
  const challenge = { mfa_required: true, mfa_token: "M", mfa_enrollment: true, provisioning_uri: "otpauth://totp/x" };
  const stub = await serving(t, [200, { ...challenge, token: "a.b.c", more: 1 }], [200, SIGNED_IN]);
  const auth = authOf(stub);
  auth.setToken("of.somebody.else");
  assert.deepEqual(await auth.login("u", "p"), challenge);
  assert.equal(auth.isAuthenticated(), false);
  await auth.verifyMfa("M", "123456");
  assert.equal(auth.getToken(), "a.b.c");
});

test("a login that fails leaves nobody logged in", async (t) => {
  const auth = authOf(await serving(t, [401, { error: "Invalid credentials" }]));
  for (const name of ["login", "exchangeToken"]) {
    auth.setToken("of.somebody.else");
    await assert.rejects(auth[name]("u", "p"), is(AuthenticationError, "Invalid credentials"));
    assert.equal(auth.isAuthenticated(), false);
  }
});

for (const [status, text, kind] of [
  [400, "Invalid request", ValidationError],
  [401, "Invalid credentials", AuthenticationError],
  [401, "Invalid TOTP code", AuthenticationError],
  [401, "MFA token expired", AuthenticationError],
  [401, "Token expired", AuthenticationError],
  [403, "User account is inactive", AuthenticationError],
  [404, "Not found", ResourceNotFoundError],
  [429, "Too many requests", RateLimitError],
  [500, "Service unavailable", ServiceUnavailableError],
  [503, "Service unavailable", ServiceUnavailableError],
]) {
  test(`a documented error is told as documented, after one attempt: ${status} ${text}`, async (t) => {
    const stub = await serving(t, [status, { error: text }, { "Retry-After": "7" }]);
    const auth = authOf(stub);
    for (const call of calls(auth)) {
      auth.setToken("JWT");
      const retryAfter = status === 429 || status >= 500 ? 7 : undefined;
      await assert.rejects(call, is(kind, text, { status, retryAfter }));
    }
    assert.equal(stub.seen.length, 6);
  });
}

test("a Retry-After that is no number of seconds is not made one", async (t) => {
  const stub = await serving(t, [429, {}]);
  for (const value of ["", "soon", "-1", "1.5", "Wed, 21 Oct 2026 07:28:00 GMT", "9".repeat(50)]) {
    stub.replies = [[429, {}, { "Retry-After": value }]];
    await assert.rejects(authOf(stub).login("u", "p"), is(RateLimitError, "Too many requests", { retryAfter: undefined }));
  }
});

test("an error without a usable text has one of ours", async (t) => {
  const stub = await serving(t, [401, ""]);
  for (const [body, text] of [
    ["", "Unauthorized"],
    ["<html>", "Unauthorized"],
    ['"text"', "Unauthorized"],
    ['{"error":1}', "Unauthorized"],
    ['{"error":""}', "Unauthorized"],
    ['{"error":"a\\u001b[31m\\nb\\u2028"}', "a[31mb"],
    [JSON.stringify({ error: "x".repeat(5000) }), "x".repeat(300)],
  ]) {
    stub.replies = [[401, body]];
    await assert.rejects(authOf(stub).login("u", "p"), is(AuthenticationError, text));
  }
});

test("a good status with a bad body is no login", async (t) => {
  const stub = await serving(t, [200, ""]);
  const bad = ["", "<html>", "[]", "null", "{}", '{"token":""}', '{"token":7}', '{"token":"a\\nb"}', '{"mfa_required":true}'];
  for (const body of [...bad, Buffer.from([0xff]), "[".repeat(20000)]) {
    stub.replies = [[200, body]];
    const auth = authOf(stub);
    await assert.rejects(auth.login("u", "p"), is(ServiceUnavailableError, /^Invalid response from service: /));
    assert.equal(auth.isAuthenticated(), false);
  }
});

test("a redirect is not followed", async (t) => {
  const stub = await serving(t, [307, "", { Location: "/elsewhere" }]);
  await assert.rejects(authOf(stub).login("u", "p"), is(ServiceUnavailableError, /307/));
  assert.equal(stub.seen.length, 1);
});

test("an answer that does not come or is cut off is no answer", async (t) => {
  const stub = await serving(t, [200, undefined]);
  await assert.rejects(authOf(stub, { timeout: 100 }).login("u", "p"), is(TimeoutError, /timed out/));
  stub.replies = [[200, " ".repeat((16 << 20) + 1)]];
  await assert.rejects(authOf(stub).login("u", "p"), is(ServiceUnavailableError, /more than 16777216 bytes/));
  await assert.rejects(authOf({ url: "http://127.0.0.1:1" }).login("u", "p"), is(ServiceUnavailableError, /no connection/));
});

test("what is missing is told before anything is sent", async (t) => {
  const stub = await serving(t, [200, {}]);
  const auth = authOf(stub);
  for (const value of ["", null, 7]) {
    for (const call of [
      () => auth.login(value, "p"),
      () => auth.login("u", value),
      () => auth.verifyMfa(value, "123456"),
      () => auth.verifyMfa("M", value),
      () => auth.exchangeToken(value),
      () => auth.exchangeToken("t", value),
      () => auth.getApiKeyInfo(value),
      () => auth.validateApiKey(value, "Sibaya"),
      () => auth.validateApiKey("k", value),
      async () => auth.setToken(value),
    ]) {
      await assert.rejects(call, is(ValidationError, / is required$/));
    }
  }
  await assert.rejects(auth.refreshToken(), is(AuthenticationError, /^Not authenticated/));
  assert.throws(() => auth.getCurrentUser(), is(AuthenticationError, /^Not authenticated/));
  await auth.logout();
  for (const text of ["a b", "a\r\nX: y", "a\n", "ä", "\0"]) {
    assert.throws(() => auth.setToken(text), (error) => is(ValidationError, /characters/)(error) && !error.message.includes(text));
  }
  assert.equal(stub.seen.length, 0);
});

test("logout forgets the token whatever the server says", async (t) => {
  const stub = await serving(t, [401, { error: "Token expired" }], [503, {}]);
  const auth = authOf(stub);
  auth.setToken("a.b.c");
  await auth.logout();
  assert.equal(auth.isAuthenticated(), false);
  auth.setToken("a.b.c");
  await assert.rejects(auth.logout(), is(ServiceUnavailableError, /503/));
  assert.equal(auth.isAuthenticated(), false);
});

test("the current user is what the token says", async (t) => {
  const auth = authOf(await serving(t, [200, {}]));
  auth.setToken(token());
  const { user_id, username, role_id, customer_ids, group_id, skin_id } = ONA_CLAIMS;
  assert.deepEqual(auth.getCurrentUser(), { user_id, username, role_id, customer_ids, group_id, skin_id });
  auth.setToken(token({ customer_ids: undefined, more: 1 }));
  assert.deepEqual(auth.getCurrentUser().customer_ids, []);
  const now = Math.floor(Date.now() / 1000);
  for (const [given, text] of [
    [token({ exp: now }), "Token expired"],
    [token({ exp: String(now + 60) }), "Invalid token: exp is not a whole number"],
    [token({ exp: now + 60.5 }), "Invalid token: exp is not a whole number"],
    [token({ exp: true }), "Invalid token: exp is not a whole number"],
    [token({ exp: undefined }), "Invalid token: exp is not a whole number"],
    ["eyJhbGciOiJIUzI1NiIs...", "Invalid token"],
    ["opaque", "Invalid token"],
    ["x".repeat(9000), "Invalid token"],
  ]) {
    auth.setToken(given);
    assert.equal(auth.isAuthenticated(), true);
    assert.throws(() => auth.getCurrentUser(), is(AuthenticationError, text));
  }
});

test("whether a key is expired is found out here", async (t) => {
  const stub = await serving(t, [200, {}]);
  for (const [at, expired] of [
    [undefined, false],
    [null, false],
    ["", false],
    ["2999-01-01T00:00:00", false],
    ["2999-01-01T00:00:00Z", false],
    ["2999-01-01T00:00:00+00:00", false],
    ["2025-11-01T00:00:00", true],
    ["2025-11-01T00:00:00+02:00", true],
    ["2999-13-01T00:00:00", true],
    ["never", true],
    [7, true],
  ]) {
    stub.replies = [[200, { api_key_id: "k", expires_at: at }]];
    const info = await authOf(stub).getApiKeyInfo("key");
    assert.deepEqual(info, { api_key_id: "k", expires_at: at ?? null, is_expired: expired });
  }
});

test("a key is valid only if the server says so", async (t) => {
  const stub = await serving(t, [200, {}]);
  for (const valid of [undefined, null, "true", 1]) {
    stub.replies = [[200, { valid }]];
    await assert.rejects(authOf(stub).validateApiKey("key", "Sibaya"), is(ServiceUnavailableError, /no valid/));
  }
});

test("an endpoint that is not safe is refused, and one that is safe is taken", () => {
  for (const auth of [
    undefined,
    "",
    "auth.example.com",
    "http://auth.example.com",
    "http://127.0.0.1.example.com",
    "http://localhost.example.com",
    "http://0.0.0.0:1",
    "ftp://auth.example.com",
    "https://",
    "https:///prod",
    "https://user:password@auth.example.com",
    "https://auth.example.com/prod?x=1",
    "https://auth.example.com/prod#x",
    "https://auth.example.com:port",
    "https://auth.example.com/a b",
    "https://auth.example.com/\r\nX: y",
    " https://auth.example.com",
    "https://auth.example.com\n",
    "https://[::1",
  ]) {
    assert.throws(() => new OnaSDK({ endpoints: { auth } }).auth, is(ConfigurationError, /^endpoints.auth /), auth);
  }
  for (const auth of ["https://a.example/prod", "http://localhost:8080", "http://127.0.0.1:1/prod/", "http://[::1]:1"]) {
    assert.equal(new OnaSDK({ endpoints: { auth } }).auth.getToken(), null);
  }
});

test("a setting that is wrong is told at once", () => {
  for (const options of [{ timeout: 0 }, { timeout: NaN }, { timeout: "7" }, { retries: -1 }, { retries: 1.5 }, { retryDelay: -1 }]) {
    assert.throws(() => new OnaSDK(options), is(ConfigurationError, / is (a|0)/));
  }
});

test("nothing printable shows a credential", async (t) => {
  const { inspect } = await import("node:util");
  const stub = await serving(t, [401, { error: "Invalid credentials" }]);
  const sdk = new OnaSDK({ endpoints: { auth: stub.url, inverterTelemetry: stub.url }, inverterTelemetryApiKey: "key-1" });
  sdk.auth.setToken("token-2");
  const error = await sdk.auth.login("u", "password-3").catch((caught) => caught);
  const shown = inspect([sdk, sdk.auth, sdk.inverterTelemetry, error], { depth: null, showHidden: true });
  for (const secret of ["key-1", "token-2", "password-3"]) {
    assert.ok(!shown.includes(secret), shown);
  }
});

// See there for what the two variables hold.
if (process.env.KEYSTILE_TEST_ONA) {
  await import("../testing/ona.js");
}
