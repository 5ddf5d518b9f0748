// Which session tokens are accepted, and that no other is.

import assert from "node:assert/strict";
import { test } from "node:test";

import { KeysUnavailable, SessionRejected, SessionVerifier } from "@keystile/sdk";
import { RemoteKeySet, readKeySet } from "../src/keyset.js";
import { CLAIMS, hmacSigner, ISSUER, jwt, KEYS, keySet, NOW, ONA_CLAIMS, rsaKey, SECRET } from "../testing/issuer.js";
import { serving } from "../testing/stub.js";

const HS = hmacSigner(SECRET);
const { ed, ec, rsa } = KEYS;
const clock = () => NOW;
const shared = new SessionVerifier({ secret: SECRET, clock });

async function verifying(t, options = { issuer: ISSUER }) {
  const stub = await serving(t, [200, keySet()]);
  return { stub, verifier: new SessionVerifier({ jwksUrl: `${stub.url}/.well-known/jwks.json`, clock, ...options }) };
}

async function rejects(verifier, token, reason) {
  await assert.rejects(verifier.verify(token), (error) => {
    assert.equal(error.constructor, SessionRejected, error.stack);
    assert.equal(error.reason, reason, String(token));
    return true;
  });
}

test("a token signed by a published key is accepted", async (t) => {
  const { verifier } = await verifying(t);
  for (const key of Object.values(KEYS)) {
    const session = await verifier.verify(jwt(key, { ...CLAIMS, more: 1 }));
    assert.deepEqual(session, { subject: "u1", sessionId: "s1", expiresAt: NOW + 60, claims: { ...CLAIMS, more: 1 } });
  }
});

test("a token of Ona's dialect is accepted by its secret", async () => {
  for (const verifier of [shared, new SessionVerifier({ secret: Buffer.from(SECRET), clock })]) {
    const session = await verifier.verify(jwt(HS, ONA_CLAIMS));
    assert.deepEqual(session, { subject: "u1", sessionId: "s1", expiresAt: NOW + 60, claims: ONA_CLAIMS });
  }
});

test("threat 01: a key checks its own algorithm only", async (t) => {
  const { verifier } = await verifying(t);
  const algorithms = ["HS256", "HS512", "none", "None", "", null, "EdDSA", "ES256", "RS256", "PS256", "ES384", ["EdDSA"]];
  for (const key of Object.values(KEYS)) {
    const values = Object.values(key.jwk);
    const known = [JSON.stringify(key.jwk), ...values, ...values.map((value) => Buffer.from(value, "base64url"))];
    for (const alg of algorithms) {
      const header = { alg, typ: "JWT", kid: key.jwk.kid };
      for (const sign of [key.sign, () => "", ...known.map(hmacSigner)]) {
        if (alg === key.algorithm && sign === key.sign) {
          continue;
        }
        const token = jwt(sign, CLAIMS, header);
        await rejects(verifier, token, token.endsWith(".") ? "malformed" : alg === key.algorithm ? "signature" : "algorithm");
      }
    }
  }
  for (const alg of [...algorithms.filter((a) => a !== "HS256"), undefined]) {
    await rejects(shared, jwt(HS, ONA_CLAIMS, { alg, typ: "JWT" }), "algorithm");
  }
  await rejects(shared, jwt(hmacSigner("another secret of thirty-two bytes"), ONA_CLAIMS), "signature");
  await rejects(shared, jwt(ed, ONA_CLAIMS), "algorithm");
});

test("every bit of a token counts, and every part of it", async (t) => {
  const { verifier } = await verifying(t);
  const alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
  const token = jwt(ed);
  for (let at = 0; at < token.length; at++) {
    await assert.rejects(verifier.verify(token.slice(0, at)), SessionRejected);
    await assert.rejects(verifier.verify(token.slice(at + 1)), SessionRejected);
    for (let bit = 0; token[at] !== "." && bit < 6; bit++) {
      const changed = alphabet[alphabet.indexOf(token[at]) ^ (1 << bit)];
      await assert.rejects(verifier.verify(token.slice(0, at) + changed + token.slice(at + 1)), SessionRejected);
    }
  }
});

test("a signature has one spelling", async (t) => {
  // Two numbers of 32 bytes stay the same numbers with a zero before them.
  const { verifier } = await verifying(t);
  for (const [kid, key] of Object.entries(KEYS)) {
    for (const at of [0, 32, 64]) {
      const longer = (text) => ((s) => Buffer.concat([s.subarray(0, at), Buffer.alloc(1), s.subarray(at)]))(key.sign(text));
      await rejects(verifier, jwt(longer, CLAIMS, { alg: key.algorithm, kid }), "signature");
    }
  }
});

test("what is no token is malformed", async (t) => {
  const { verifier } = await verifying(t);
  const good = jwt(ed);
  for (const token of [
    undefined, null, 7, {}, "", ".", "..", "a.b.c", "a.b.c.d", `Bearer ${good}`, `${good}\n`, `${good}=`, ` ${good}`, `${good}.`, `${good}.x`,
    jwt(ed, "not json"), jwt(ed, "[]"), jwt(ed, "null"), jwt(ed, '"text"'), jwt(ed, '{"exp": NaN}'), jwt(ed, "[".repeat(5000)),
    jwt(ed, CLAIMS, "not json"), jwt(ed, CLAIMS, "[]"), jwt(ed, { ...CLAIMS, filler: "x".repeat(8192) }),
    jwt(ed, { ...CLAIMS, filler: "x".repeat(3000) }, { alg: "EdDSA", kid: "ed", filler: "x".repeat(3000) }),
    jwt(ed, `\ufeff${JSON.stringify(CLAIMS)}`),
  ]) {
    await rejects(verifier, token, "malformed");
  }
});

test("a header that brings its own key or rules is malformed", async (t) => {
  const { verifier, stub } = await verifying(t);
  for (const extra of [
    { crit: ["exp"] }, { crit: [] }, { b64: true }, { b64: false, crit: ["b64"] }, { zip: "DEF" }, { enc: "A256GCM" },
    { jwk: ed.jwk }, { jku: "https://attacker.example/jwks" }, { x5u: "https://attacker.example/cert" }, { x5c: [] },
  ]) {
    await rejects(verifier, jwt(ed, CLAIMS, { alg: "EdDSA", typ: "JWT", kid: "ed", ...extra }), "malformed");
  }
  assert.equal(stub.seen.length, 0);
});

test("the key is the one that is named", async (t) => {
  const { verifier } = await verifying(t);
  for (const kid of [undefined, null, "", "ED", "ed ", "../ed", "__proto__", "constructor", 1, ["ed"], "x".repeat(201)]) {
    await rejects(verifier, jwt(ed, CLAIMS, { alg: "EdDSA", typ: "JWT", kid }), "unknown_key");
  }
  await rejects(verifier, jwt(ed, CLAIMS, { alg: "EdDSA", typ: "JWT", kid: "rsa" }), "algorithm");
});

test("a token with a wrong claim is refused, and one at its limit accepted", async (t) => {
  const { verifier } = await verifying(t);
  for (const [changes, reason] of [
    [{ exp: NOW }, "expired"], [{ exp: 0 }, "expired"], [{ exp: -1 }, "expired"], [{ exp: undefined }, "malformed"],
    [{ exp: null }, "malformed"], [{ exp: String(NOW + 60) }, "malformed"], [{ exp: NOW + 60.5 }, "malformed"],
    [{ exp: true }, "malformed"], [{ exp: [NOW + 60] }, "malformed"], [{ exp: 1e300 }, "malformed"],
    [{ iat: NOW + 61 }, "not_yet_valid"], [{ iat: String(NOW) }, "malformed"], [{ nbf: NOW + 61 }, "not_yet_valid"],
    [{ nbf: null }, "malformed"], [{ iss: undefined }, "issuer"], [{ iss: `${ISSUER}/` }, "issuer"], [{ iss: [ISSUER] }, "issuer"],
    [{ aud: undefined }, "audience"], [{ aud: null }, "audience"], [{ aud: `${ISSUER}/` }, "audience"],
    [{ aud: "keystile" }, "audience"], [{ aud: ["keystile"] }, "audience"], [{ aud: [] }, "audience"], [{ aud: [null] }, "audience"],
    [{ aud: "" }, "audience"], [{ sub: undefined }, "not_a_session"], [{ sub: "" }, "not_a_session"], [{ sub: 7 }, "not_a_session"],
    [{ sub: null, user_id: "u1" }, "not_a_session"], [{ sid: undefined }, "not_a_session"], [{ sid: "" }, "not_a_session"],
    [{ sid: 7 }, "not_a_session"],
  ]) {
    await rejects(verifier, jwt(ed, { ...CLAIMS, ...changes }), reason);
  }
  for (const changes of [{ iat: undefined }, { iat: NOW + 60 }, { nbf: NOW + 60 }, { exp: NOW + 1 }, { aud: ["x", ISSUER] }]) {
    assert.equal((await verifier.verify(jwt(ed, { ...CLAIMS, ...changes }))).subject, "u1");
  }
});

test("an audience that is asked for must be named", async (t) => {
  const { verifier } = await verifying(t, { issuer: ISSUER, audience: "api" });
  for (const aud of ["api", ["x", "api"]]) {
    await verifier.verify(jwt(ed, { ...CLAIMS, aud }));
  }
  for (const aud of [undefined, null, "apis", ["x"], { api: 1 }, ISSUER]) {
    await rejects(verifier, jwt(ed, { ...CLAIMS, aud }), "audience");
  }
});

test("threat 02: another kind of token by the same key is no session", async (t) => {
  const { verifier } = await verifying(t);
  for (const typ of ["at+jwt", "application/at+jwt", "logout+jwt", "dpop+jwt", "JOSE", "", null, 1]) {
    await rejects(verifier, jwt(ed, CLAIMS, { alg: "EdDSA", typ, kid: "ed" }), "not_a_session");
  }
  for (const typ of ["JWT", "jwt", "application/jwt", undefined]) {
    await verifier.verify(jwt(ed, CLAIMS, { alg: "EdDSA", typ, kid: "ed" }));
  }
  const assertion = { ...CLAIMS, credential: "session_jwt:s1", route: "r1" };
  await rejects(verifier, jwt(ed, { ...assertion, aud: "https://api.example.com" }), "audience");
  await rejects(verifier, jwt(ed, assertion), "not_a_session");
});

test("tokens of Ona's dialect have the parties that are configured", async () => {
  for (const [configured, claims, reason] of [
    [{}, { aud: "x" }, "audience"],
    [{}, { iss: "https://other.example" }],
    [{ issuer: ISSUER }, {}, "issuer"],
    [{ issuer: ISSUER }, { iss: ISSUER }, "audience"],
    [{ issuer: ISSUER }, { iss: ISSUER, aud: ISSUER }],
    [{ issuer: ISSUER, audience: "api" }, { iss: ISSUER, aud: "api" }],
    [{ audience: "api" }, {}, "audience"],
    [{ audience: "api" }, { aud: "api" }],
  ]) {
    const verifier = new SessionVerifier({ secret: SECRET, clock, ...configured });
    const token = jwt(HS, { ...ONA_CLAIMS, ...claims });
    await (reason === undefined ? verifier.verify(token) : rejects(verifier, token, reason));
  }
});

test("a verifier that could be fooled is not made", () => {
  for (const options of [
    {}, { jwksUrl: "https://a.example/jwks", secret: SECRET }, { secret: "" }, { secret: "x".repeat(31) }, { secret: 7 },
    { secret: SECRET, issuer: "" }, { secret: SECRET, audience: "" }, { jwksUrl: "https://a.example/jwks" },
    { jwksUrl: "", issuer: ISSUER }, { jwksUrl: "http://a.example/jwks", issuer: ISSUER }, { jwksUrl: "file:///etc/passwd", issuer: ISSUER },
  ]) {
    assert.throws(() => new SessionVerifier(options), TypeError);
  }
});

/** A key set behind a clock that is set by hand. */
async function source(t, ...keys) {
  const stub = await serving(t, [200, keySet(...keys)]);
  const made = { stub, now: 1000, fetches: () => stub.seen.length, publish: (...k) => (stub.replies = [[200, keySet(...k)]]) };
  const set = new RemoteKeySet(stub.url, () => made.now);
  return Object.assign(made, { has: async (kid) => (await set.find(kid)) !== undefined });
}

test("threat 13: invented keys make one fetch in thirty seconds", async (t) => {
  const s = await source(t, ed);
  assert.ok(await s.has("ed"));
  for (const fetches of [1, 2, 3]) {
    await Promise.all(Array.from({ length: 200 }, async (_, n) => assert.ok(!(await s.has(`invented-${n}`)))));
    assert.equal(s.fetches(), fetches);
    s.now += 30;
  }
  for (const kid of [undefined, 7, "x".repeat(300)]) {
    assert.ok(!(await s.has(kid)));
  }
  assert.equal(s.fetches(), 3);
});

test("a key that is new is found and one that is gone is forgotten", async (t) => {
  const s = await source(t, ed);
  assert.ok(await s.has("ed"));
  s.now += 30;
  s.publish(ec);
  assert.deepEqual([await s.has("ec"), await s.has("ed")], [true, false]);
  s.publish(rsa);
  s.now += 300;
  assert.deepEqual([await s.has("ec"), await s.has("rsa")], [false, true]);
});

test("keys that cannot be fetched again are believed for an hour and no longer", async (t) => {
  for (const reply of [
    [500, keySet(ec)], [302, "", { Location: "/" }], [200, ""], [200, "[]"], [200, {}], [200, { keys: {} }],
    [200, { keys: [ed.jwk, ed.jwk] }], [200, { keys: [], filler: "x".repeat(64 << 10) }],
  ]) {
    const s = await source(t, ed);
    assert.ok(await s.has("ed"));
    s.stub.replies = [reply];
    s.now += 3600;
    assert.ok(await s.has("ed"));
    s.now += 1;
    await assert.rejects(s.has("ed"), KeysUnavailable);
    assert.equal(s.fetches(), 2);
    s.publish(ed);
    s.now += 30;
    assert.ok(await s.has("ed"));
  }
});

test("without any keys nobody is let in and the server is asked each second", async (t) => {
  const s = await source(t, ed);
  s.stub.replies = [[503, {}]];
  await Promise.all(Array.from({ length: 5 }, () => assert.rejects(s.has("ed"), KeysUnavailable)));
  await assert.rejects(s.has("ed"), KeysUnavailable);
  assert.equal(s.fetches(), 1);
  s.publish(ed);
  s.now += 1;
  assert.deepEqual(await Promise.all(Array.from({ length: 5 }, () => s.has("ed"))), [true, true, true, true, true]);
  assert.equal(s.fetches(), 2);
});

test("a known key does not wait for a fetch", async (t) => {
  const s = await source(t, ed);
  assert.ok(await s.has("ed"));
  s.stub.replies = [[200, undefined]]; // this answer never ends
  s.now += 300;
  let settled = false;
  const waiting = s.has("invented").finally(() => (settled = true));
  assert.ok(await s.has("ed"));
  assert.ok(!settled);
  t.after(async () => assert.equal(await waiting, false));
});

test("a key that cannot be used is passed over and the others stay", async () => {
  const b64 = (data) => Buffer.from(data).toString("base64url");
  for (const jwk of [
    null, "text", {}, { kty: "RSA", kid: "x" }, rsaKey("small", 1024).jwk, { ...rsa.jwk, e: "AQ" }, { ...rsa.jwk, e: "Ag" },
    { ...rsa.jwk, e: b64([1, 0, 0, 0, 1]) }, { ...rsa.jwk, alg: "PS256" }, { ...rsa.jwk, crv: "P-256" }, { ...rsa.jwk, use: "enc" },
    { ...rsa.jwk, key_ops: ["sign"] }, { ...rsa.jwk, key_ops: "verify" }, { ...ec.jwk, crv: "P-384" }, { ...ec.jwk, y: ec.jwk.x },
    { ...ec.jwk, y: undefined }, { ...ed.jwk, x: b64(Buffer.alloc(31)) }, { ...ed.jwk, x: 7 }, { ...ed.jwk, crv: "X25519" },
    { ...ed.jwk, alg: "ES256" }, { ...ed.jwk, alg: null }, { ...ed.jwk, kid: undefined }, { ...ed.jwk, kid: "" }, { ...ed.jwk, kid: 7 },
    { ...ed.jwk, kid: "x".repeat(201) }, { kty: "oct", k: b64(SECRET), kid: "x", alg: "HS256" },
  ]) {
    const keys = await readKeySet({ keys: [jwk, { ...ec.jwk, kid: "other" }] });
    assert.deepEqual([...keys.keys()], ["other"], JSON.stringify(jwk));
  }
});
