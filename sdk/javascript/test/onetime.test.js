// What the signer makes by itself, and what it refuses.

import assert from "node:assert/strict";
import { createPrivateKey, generateKeyPairSync } from "node:crypto";
import { test } from "node:test";
import { inspect } from "node:util";

import { OneTimeSigner, SignError } from "@keystile/sdk";

import { KEYS, NONCE, NOW, isGood, messageBase, messageSignature, readHeader, readJWT, signerOf } from "../testing/vectors.js";

const URL_X = "https://bank.example/finapi/x";

function make(changes = {}) {
  const options = { organization: "bank-x", apiKey: "k", algorithm: "HS256", secret: "s", ...changes };
  return new OneTimeSigner(options);
}

/** Signs once with the given private key, and with no secret. */
function signWith(algorithm, privateKey) {
  return make({ algorithm, secret: undefined, privateKey }).header();
}

const refused = (message) => (error) => error instanceof SignError && message.test(error.message);

test("every signature has its own nonce", async () => {
  const signer = make();
  const nonces = new Set();
  const inputs = new Set();
  for (let i = 0; i < 200; i++) {
    nonces.add(readHeader(await signer.header()).fields.nonce);
    inputs.add((await signer.signRequest("GET", URL_X))["Signature-Input"]);
  }
  assert.equal(nonces.size, 200);
  assert.equal(inputs.size, 200);
  assert.ok([...nonces].every((nonce) => /^[0-9a-f]{32}$/.test(nonce)));
});

test("a JWT's nonce ends with the time of the token", async () => {
  const { claims } = readJWT(await make().jwt());
  assert.match(claims.nonce, /^[0-9a-f]{64}$/);
  assert.equal(Number.parseInt(claims.nonce.slice(48), 16), claims.iat);
});

test("the time is the clock's, in whole seconds", async (t) => {
  t.mock.timers.enable({ apis: ["Date"], now: NOW * 1000 + 999 });
  assert.equal(readHeader(await make().header()).fields.timestamp, NOW);
  assert.equal(readJWT(await make().jwt()).claims.iat, NOW);
  assert.ok((await make().signRequest("GET", URL_X))["Signature-Input"].includes(`;created=${NOW};`));
});

test("other header fields stay, and an earlier signature goes", async () => {
  const given = { Accept: "text/plain", signature: "old", "SIGNATURE-INPUT": "old", "content-digest": "old" };
  for (const headers of [given, Object.entries(given), new Map(Object.entries(given))]) {
    const signed = await make().signRequest("GET", URL_X, headers);
    assert.deepEqual(Object.keys(signed).sort(), ["Accept", "Signature", "Signature-Input"]);
  }
  assert.equal(Object.keys(given).length, 4);
  const fromHeaders = await make().signRequest("GET", URL_X, new Headers({ Accept: "text/plain" }));
  assert.equal(fromHeaders.accept, "text/plain");
});

test("an empty body has no digest, and every kind of body has that of its bytes", async () => {
  for (const body of [undefined, null, "", new Uint8Array()]) {
    assert.equal((await make().signRequest("POST", URL_X, {}, body))["Content-Digest"], undefined);
  }
  const bytes = new TextEncoder().encode("ümlaut");
  const digests = new Set();
  for (const body of ["ümlaut", bytes, bytes.buffer, Buffer.from("ümlaut")]) {
    digests.add((await make().signRequest("POST", URL_X, {}, body))["Content-Digest"]);
  }
  assert.equal(digests.size, 1);
});

for (const [url, headers, signed] of [
  ["https://bank.example", {}, "https://bank.example/"],
  ["HTTPS://Bank.Example:443/a?b=1#fragment", {}, "https://bank.example/a?b=1"],
  ["https://bank.example:8443/a", {}, "https://bank.example:8443/a"],
  ["https://bank.example/a?", {}, "https://bank.example/a"],
  ["https://bank.example?b", {}, "https://bank.example/?b"],
  ["http://[::1]:80/a", {}, "http://[::1]/a"],
  ["https://bücher.example/a b/ü", {}, "https://xn--bcher-kva.example/a%20b/%C3%BC"],
  ["https://10.0.0.7:8443/a?b=1", { host: "other.example" }, "https://other.example/a?b=1"],
]) {
  test(`the URL is signed as it goes over the wire: ${url}`, async () => {
    for (const given of [url, new URL(url)]) {
      const got = await signerOf(KEYS.hs).signRequest("GET", given, headers, null, { nonce: NONCE, now: NOW });
      assert.ok(isGood(KEYS.hs, messageBase("GET", signed, got), messageSignature(got)));
    }
  });
}

for (const [changes, message] of [
  [{ secret: "" }, /secret is empty/],
  [{ secret: new Uint8Array() }, /secret is empty/],
  [{ secret: undefined }, /secret is empty/],
  [{ secret: 7 }, /secret is a string or a Uint8Array/],
  [{ privateKey: "x" }, /HS256 signs with secret/],
  [{ algorithm: "none" }, /algorithm "none" is not supported; use one of HS256, RS256, ES256, EdDSA/],
  [{ algorithm: "HS512" }, /not supported/],
  [{ algorithm: "toString" }, /not supported/],
  [{ algorithm: undefined }, /not supported/],
  [{ algorithm: "RS256" }, /RS256 signs with privateKey, not with secret/],
  [{ algorithm: "RS256", secret: undefined }, /RS256 needs privateKey/],
  [{ algorithm: "RS256", secret: undefined, privateKey: "" }, /RS256 needs privateKey/],
  [{ algorithm: "RS256", secret: undefined, privateKey: "x" }, /not a private key in PEM/],
  [{ algorithm: "RS256", secret: undefined, privateKey: KEYS.rs.public_key }, /which is no private key/],
  [{ algorithm: "RS256", secret: undefined, privateKey: null }, /RS256 needs an RSA key/],
  [{ organization: "" }, /organization is printable ASCII/],
  [{ organization: "bank x" }, /organization is printable ASCII/],
  [{ apiKey: "k\n" }, /apiKey is printable ASCII/],
  [{ apiKey: undefined }, /apiKey is printable ASCII/],
]) {
  test(`a signer that could not sign is refused at once: ${message}, ${inspect(changes).slice(0, 60)}`, () => {
    assert.throws(() => make(changes), refused(message));
  });
}

test("a private key of another kind is refused at the first signature", async () => {
  await assert.rejects(signWith("RS256", KEYS.es.private_key), refused(/RS256 needs an RSA key/));
  await assert.rejects(signWith("ES256", KEYS.ed.private_key), refused(/ES256 needs a key on the curve P-256/));
  await assert.rejects(signWith("EdDSA", KEYS.rs.private_key), refused(/EdDSA needs an Ed25519 key/));
});

test("keys that are too small or on another curve are refused", async () => {
  const privateKeyEncoding = { type: "pkcs8", format: "pem" };
  const small = generateKeyPairSync("rsa", { modulusLength: 1024, privateKeyEncoding }).privateKey;
  await assert.rejects(signWith("RS256", small), refused(/1024 bits; use 2048 to 8192/));
  for (const type of ["pkcs8", "sec1"]) {
    const other = generateKeyPairSync("ec", { namedCurve: "P-384", privateKeyEncoding: { type, format: "pem" } });
    await assert.rejects(signWith("ES256", other.privateKey), refused(/curve P-256/));
  }
});

test("an encrypted key is refused with what to do", () => {
  for (const type of ["pkcs8", "sec1"]) {
    const privateKeyEncoding = { type, format: "pem", cipher: "aes-256-cbc", passphrase: "x" };
    const { privateKey } = generateKeyPairSync("ec", { namedCurve: "P-256", privateKeyEncoding });
    assert.throws(() => make({ algorithm: "ES256", secret: undefined, privateKey }), refused(/encrypted; decrypt it first/));
  }
});

for (const [name, types] of [["rs", ["pkcs8", "pkcs1"]], ["es", ["pkcs8", "sec1"]], ["ed", ["pkcs8"]]]) {
  for (const type of types) {
    test(`every encoding of a private key is read: ${name} ${type}`, async () => {
      const pem = createPrivateKey(KEYS[name].private_key).export({ type, format: "pem" });
      const { text, signature } = readHeader(await signWith(KEYS[name].algorithm, pem));
      assert.ok(isGood(KEYS[name], text, signature));
    });
  }
}

test("a CryptoKey that cannot be exported signs, and one of another kind is refused", async () => {
  const der = createPrivateKey(KEYS.es.private_key).export({ type: "pkcs8", format: "der" });
  const imported = (name, extra, usages) =>
    crypto.subtle.importKey("pkcs8", der, { name, namedCurve: "P-256" }, extra, usages);
  const key = await imported("ECDSA", false, ["sign"]);
  const { text, signature } = readHeader(await signWith("ES256", key));
  assert.ok(isGood(KEYS.es, text, signature));
  const agreement = await imported("ECDH", false, ["deriveBits"]);
  assert.throws(() => signWith("ES256", agreement), refused(/ES256 needs a key/));
  const wrongHash = await crypto.subtle.importKey(
    "pkcs8",
    createPrivateKey(KEYS.rs.private_key).export({ type: "pkcs8", format: "der" }),
    { name: "RSASSA-PKCS1-v1_5", hash: "SHA-512" },
    false,
    ["sign"],
  );
  assert.throws(() => signWith("RS256", wrongHash), refused(/RS256 needs an RSA key/));
});

test("an ES256 signature always has 64 bytes", async () => {
  const signer = signerOf(KEYS.es);
  for (let i = 0; i < 600; i++) { // one in 128 has a leading zero in r or s
    const { text, signature } = readHeader(await signer.header());
    assert.equal(signature.length, 64);
    assert.ok(isGood(KEYS.es, text, signature));
  }
});

for (const nonce of ["", "short", "x".repeat(15), "x".repeat(129), `${"x".repeat(16)} `, `${"x".repeat(16)}\n`, "ü".repeat(16), 7]) {
  test(`a nonce that the server would refuse is not signed: ${JSON.stringify(nonce).slice(0, 30)}`, async () => {
    const message = refused(/nonce is 16 to 128/);
    await assert.rejects(make().header({ nonce }), message);
    await assert.rejects(make().jwt({ nonce }), message);
    await assert.rejects(make().signRequest("GET", URL_X, {}, null, { nonce }), message);
  });
}

for (const now of [1700000000.5, "1700000000", true, -1, 2 ** 63, Number.NaN, null]) {
  test(`a time that is no integer is not signed: ${now}`, async () => {
    await assert.rejects(make().header({ now }), refused(/whole seconds/));
  });
}

for (const [method, url, body, message] of [
  ["get", URL_X, null, /capital letters/],
  ["GET ", URL_X, null, /capital letters/],
  ["", URL_X, null, /capital letters/],
  ["GET", "/finapi/x", null, /absolute/],
  ["GET", "ftp://bank.example/x", null, /http:\/\/ or https:\/\//],
  ["GET", "https://user:pass@bank.example/x", null, /user name/],
  ["POST", URL_X, new FormData(), /read a stream or a form first/],
  ["POST", URL_X, new ReadableStream(), /read a stream or a form first/],
  ["POST", URL_X, "x".repeat(65537), /at most 65536 bytes; this has 65537/],
]) {
  test(`a request that would be refused is not signed: ${method} ${url} ${message}`, async () => {
    await assert.rejects(make().signRequest(method, url, {}, body), refused(message));
  });
}

test("the largest body is signed", async () => {
  assert.ok((await make().signRequest("POST", URL_X, {}, "x".repeat(65536)))["Content-Digest"]);
});

test("nothing printable shows the secret", () => {
  const signer = make({ secret: "very-secret" });
  assert.ok(!`${inspect(signer, { showHidden: true, depth: 5 })}${JSON.stringify(signer)}${signer}`.includes("very-secret"));
});

test("without WebCrypto the error says what is needed", async (t) => {
  t.mock.getter(globalThis, "crypto", () => undefined);
  await assert.rejects(make().header({ nonce: NONCE, now: NOW }), refused(/WebCrypto is not there/));
});
