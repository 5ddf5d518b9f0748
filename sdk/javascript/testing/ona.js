// OnaSDK and SessionVerifier against a running server. The tests import this file when there is one, which two
// environment variables say: KEYSTILE_TEST_SERVER, and KEYSTILE_TEST_ONA, which ../../python/tests/world.py describes.

import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { createHmac } from "node:crypto";
import { mkdir, mkdtemp, readFile, rm, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";

import {
  AuthenticationError,
  OnaSDK,
  SessionRejected,
  SessionVerifier,
  ValidationError,
  withSession,
} from "@keystile/sdk";
import { hmacSigner, jwt } from "./issuer.js";

const server = (process.env.KEYSTILE_TEST_SERVER ?? "").replace(/\/+$/, "");
const world = JSON.parse(process.env.KEYSTILE_TEST_ONA ?? "{}");
assert.ok(server !== "" && world.users !== undefined, "set KEYSTILE_TEST_SERVER and KEYSTILE_TEST_ONA together");

const { users, api_key: apiKey, asset: asset_id, site: site_id, other_site: otherSite, provider } = world;
const endpoint = `${server}/prod`;
const halfADay = { start: "2025-11-01T00:00:00", end: "2025-11-01T12:00:00" };
const authOf = () => new OnaSDK({ endpoints: { auth: endpoint } }).auth;
const told = (constructor, message, status) => ({ constructor, message, status });

/** The code of an authenticator app (RFC 6238), or the one that it shows some steps later. */
function totp(secret, ahead = 0) {
  const alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";
  const bits = [...secret.replaceAll("=", "")].map((c) => alphabet.indexOf(c).toString(2).padStart(5, "0")).join("");
  const key = Buffer.from(bits.match(/.{8}/g).map((byte) => parseInt(byte, 2)));
  const step = Buffer.alloc(8);
  step.writeBigUInt64BE(BigInt(Math.floor(Date.now() / 30_000) + ahead));
  const digest = createHmac("sha1", key).update(step).digest();
  return String((digest.readUInt32BE(digest.at(-1) & 15) & 0x7fffffff) % 1e6).padStart(6, "0");
}

function externalToken(changes) {
  const now = Math.floor(Date.now() / 1000);
  const { issuer: iss, audience: aud } = provider;
  const claims = { iss, aud, sub: "external-1", email: users.external.username, email_verified: true, iat: now, exp: now + 60 };
  return jwt(hmacSigner(provider.secret), { ...claims, ...changes });
}

test("a login gives a token of that user, which is refreshed and ends with its logout", async () => {
  const auth = authOf();
  const { username, password } = users.plain;
  const first = await auth.login(username, password);
  assert.equal(first.user.username, username);
  assert.deepEqual([auth.getCurrentUser().username, auth.getCurrentUser().role_id], [username, "role_analyst"]);
  const session = await new SessionVerifier({ secret: world.jwt_secret }).verify(first.token);
  assert.equal(session.subject, auth.getCurrentUser().user_id);
  const second = await auth.refreshToken();
  assert.notEqual(second.token, first.token);
  assert.equal(second.expires_in, 86400);
  await auth.logout();
  for (const copy of [first.token, second.token, "a.b.c", "opaque"]) {
    auth.setToken(copy);
    await assert.rejects(auth.refreshToken(), AuthenticationError);
  }
});

test("a wrong password and an unknown user are told alike", async () => {
  for (const username of [users.plain.username, "nobody@example.com"]) {
    await assert.rejects(authOf().login(username, "wrong"), told(AuthenticationError, "Invalid credentials", 401));
  }
});

test("a user with an authenticator app is asked for its code", async () => {
  const auth = authOf();
  const { username, password, totp_secret } = users.js_mfa;
  const challenge = await auth.login(username, password);
  assert.deepEqual(Object.keys(challenge).sort(), ["mfa_required", "mfa_token"]);
  const code = totp(totp_secret);
  const wrong = String((Number(code) + 1) % 1e6).padStart(6, "0");
  await assert.rejects(auth.verifyMfa(challenge.mfa_token, wrong), told(AuthenticationError, "Invalid TOTP code", 401));
  assert.equal((await auth.verifyMfa(challenge.mfa_token, code)).user.username, username);
  assert.equal(auth.getCurrentUser().username, username);
  await assert.rejects(auth.verifyMfa("invented", code), told(AuthenticationError, "MFA token expired", 401));
});

test("a user who needs an authenticator app enrols one", async () => {
  const auth = authOf();
  const { username, password } = users.js_enrol;
  const challenge = await auth.login(username, password);
  assert.equal(challenge.mfa_enrollment, true);
  const secret = new URL(challenge.provisioning_uri).searchParams.get("secret");
  await auth.verifyMfa(challenge.mfa_token, totp(secret));
  const again = await auth.login(username, password);
  assert.deepEqual(Object.keys(again).sort(), ["mfa_required", "mfa_token"]);
  await auth.verifyMfa(again.mfa_token, totp(secret, 1));
});

test("an API key is its own proof", async () => {
  const auth = authOf();
  const info = await auth.getApiKeyInfo(apiKey);
  assert.deepEqual([info.permitted_site_ids, info.is_expired], [[site_id], false]);
  assert.equal((await auth.validateApiKey(apiKey, site_id)).valid, true);
  const other = await auth.validateApiKey(apiKey, otherSite);
  assert.deepEqual([other.valid, other.error], [false, "Site not permitted"]);
  await assert.rejects(auth.getApiKeyInfo("opa_prod_unknown"), told(AuthenticationError, "API key not found", 401));
});

test("a token of a known provider is exchanged", async () => {
  const auth = authOf();
  const { user } = await auth.exchangeToken(externalToken(), provider.name);
  assert.equal(user.username, users.external.username);
  for (const [token, name] of [[externalToken({ aud: "else" }), provider.name], [externalToken(), "invented"]]) {
    await assert.rejects(auth.exchangeToken(token, name), told(AuthenticationError, "Invalid external token", 401));
  }
});

test("an API key reads the records of its site only", async () => {
  const client = (inverterTelemetryApiKey) =>
    new OnaSDK({ endpoints: { inverterTelemetry: endpoint }, inverterTelemetryApiKey }).inverterTelemetry;
  const query = { asset_id, site_id, time_range: halfADay };
  const records = await client(apiKey).getInverterTelemetry({ ...query, limit: 10 });
  assert.equal(records.length, 10);
  const more = await client(apiKey).getInverterTelemetry({ ...query, cursor: records.nextCursor });
  assert.ok(more[0].timestamp > records.at(-1).timestamp);
  const refused = (key, changes) => client(key).getInverterTelemetry({ ...query, ...changes });
  await assert.rejects(refused(apiKey, { site_id: otherSite }), told(AuthenticationError, "Access denied", 403));
  await assert.rejects(refused(apiKey, { resolution: "hourly" }), told(ValidationError, "Invalid request", 400));
  await assert.rejects(refused("opa_prod_unknown"), told(AuthenticationError, "Unauthorized", 401));
});

test("a session is verified by the server's public keys", async () => {
  const { username: email, password } = users.plain;
  const answer = await fetch(`${server}/api/v2/sessions`, {
    method: "POST",
    headers: { "Content-Type": "application/json" },
    body: JSON.stringify({ session: { email, password } }),
  });
  const token = (await answer.json()).meta.jwt;
  const verifier = new SessionVerifier({ jwksUrl: `${server}/.well-known/jwks.json`, issuer: world.issuer });
  assert.equal((await verifier.verify(token)).claims.username, email);
  await assert.rejects(verifier.verify(`${token.slice(0, -4)}AAAA`), SessionRejected);
  await assert.rejects(new SessionVerifier({ secret: world.jwt_secret }).verify(token), SessionRejected);
  const greet = withSession({ verifier }, (_, session) => new Response(session.claims.username));
  for (const [headers, status] of [[{ Authorization: token }, 200], [{ Authorization: `Bearer ${token}` }, 200], [{}, 401]]) {
    assert.equal((await greet(new Request("https://api.example.com/", { headers }))).status, status);
  }
});

test("the sample of the platform's documentation reads records", async (t) => {
  const folder = await mkdtemp(join(tmpdir(), "keystile-sample-"));
  t.after(() => rm(folder, { recursive: true }));
  await mkdir(join(folder, "node_modules/@keystile"), { recursive: true });
  await symlink(fileURLToPath(new URL("..", import.meta.url)), join(folder, "node_modules/@keystile/sdk"));
  const sample = await readFile(new URL("../../samples/telemetry.js", import.meta.url), "utf8");
  assert.ok(sample.includes("'./src/index'"));
  const query = JSON.stringify({ asset_id, site_id, time_range: halfADay });
  const use = `sdk.inverterTelemetry.getInverterTelemetry(${query}).then((records) => console.log(records.length));`;
  await writeFile(join(folder, "sample.cjs"), sample.replace("./src/index", "@keystile/sdk") + use);
  const env = { ...process.env, INVERTER_TELEMETRY_ENDPOINT: endpoint, INVERTER_TELEMETRY_API_KEY: apiKey };
  const { stdout, stderr } = await promisify(execFile)(process.execPath, ["sample.cjs"], { cwd: folder, env });
  assert.deepEqual([stdout, stderr], ["100\n", ""]);
});
