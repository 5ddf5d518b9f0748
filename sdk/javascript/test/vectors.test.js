// Every language signs the same bytes.

import assert from "node:assert/strict";
import { test } from "node:test";

import {
  KEYS, NONCE, NOW, SERVER_CASES, VECTORS, isGood, messageBase, messageSignature, readHeader, readJWT, signerOf,
} from "../testing/vectors.js";

for (const c of VECTORS.cases.filter(({ form }) => form === "header")) {
  test(`the header form is that of the shared vectors: ${c.name}`, async () => {
    const got = await signerOf(KEYS[c.key]).header({ nonce: c.nonce, now: c.time });
    if (c.deterministic) {
      assert.equal(got, c.authorization);
    }
    const { fields, text, signature } = readHeader(got);
    assert.deepEqual(Object.keys(fields), ["organization", "apiKey", "nonce", "timestamp", "accessToken"]);
    assert.deepEqual({ ...fields, accessToken: "" }, { ...readHeader(c.authorization).fields, accessToken: "" });
    assert.ok(isGood(KEYS[c.key], text, signature));
  });
}

for (const c of VECTORS.cases.filter(({ form }) => form === "jwt")) {
  test(`the JWT form is that of the shared vectors: ${c.name}`, async () => {
    const got = await signerOf(KEYS[c.key]).jwt({ nonce: c.nonce, now: c.time });
    if (c.deterministic) {
      assert.equal(got, c.authorization);
    }
    assert.equal(got.slice(0, got.lastIndexOf(".")), c.authorization.slice(0, c.authorization.lastIndexOf(".")));
    const { head, claims, text, signature } = readJWT(got);
    assert.deepEqual(head, { alg: KEYS[c.key].algorithm });
    assert.equal(claims.exp, claims.iat + 30);
    assert.ok(isGood(KEYS[c.key], text, signature));
  });
}

for (const c of VECTORS.cases.filter(({ form }) => form === "http_signature")) {
  test(`the message signature is that of the shared vectors: ${c.name}`, async () => {
    const { method, url, body } = c.request;
    const got = await signerOf(KEYS[c.key]).signRequest(method, url, {}, body, { nonce: c.nonce, now: c.time });
    assert.equal(got["Signature-Input"], c.signature_input);
    assert.equal(got["Content-Digest"], c.content_digest);
    if (c.deterministic) {
      assert.equal(got.Signature, c.signature);
    }
    // What was signed is that text, letter for letter.
    assert.ok(isGood(KEYS[c.key], c.signed, messageSignature(got)));
    assert.ok(isGood(KEYS[c.key], c.signed, messageSignature({ Signature: c.signature })));
  });
}

// The accepted cases written as clients write them, which a helper must give back byte for byte.
const variants = /upper-case hex|unknown member|without padding|embedded jwk|with typ|key in sub/;
const canonical = SERVER_CASES.cases.filter((c) => c.accept && !variants.test(c.name));

for (const c of canonical) {
  test(`what the server accepts is signed again byte for byte: ${c.name}`, async () => {
    const signer = signerOf(SERVER_CASES.keys[c.key]);
    if (c.form === "header") {
      // One of them is written in the other alphabet, which is not how clients write it.
      const expected = c.authorization.replaceAll("-", "+").replaceAll("_", "/");
      const { fields } = readHeader(expected);
      assert.equal(await signer.header({ nonce: fields.nonce, now: fields.timestamp }), expected);
    } else {
      const { claims } = readJWT(c.authorization);
      assert.equal(await signer.jwt({ nonce: claims.nonce, now: claims.iat }), c.authorization);
    }
  });
}

test("every form is among the shared vectors, and enough of the server's cases are signed again", () => {
  for (const form of ["header", "jwt", "http_signature"]) {
    assert.ok(VECTORS.cases.some((c) => c.form === form), form);
  }
  assert.ok(canonical.length >= 12);
});

test("the published HS256 vectors are met", async () => {
  const signer = signerOf(KEYS.hs);
  const { fields } = readHeader(await signer.header({ nonce: NONCE, now: NOW }));
  assert.equal(fields.accessToken, "e9b50e4fb31a3a6e5a2f0a971467c4e00d7a1fc0b32d8ab5f070f24eeff97bcc");
  const token = await signer.jwt({ nonce: `${"01".repeat(24)}000000006553f100`, now: NOW });
  assert.ok(token.endsWith(".kibvhxsoi6Mb31wgNPI_S8FZMB_hkA_2rT9F4tuqCB0"));
});

for (const [name, key] of Object.entries(KEYS)) {
  test(`a changed request no longer fits its signature: ${name}`, async () => {
    const url = "https://bank.example/finapi/x";
    const headers = await signerOf(key).signRequest("POST", url, {}, "{}");
    const fits = (method, uri, fields) => isGood(key, messageBase(method, uri, fields), messageSignature(headers));
    assert.ok(fits("POST", url, headers));
    assert.ok(!fits("PUT", url, headers));
    assert.ok(!fits("POST", `${url}?a=1`, headers));
    const other = await signerOf(key).signRequest("POST", url, {}, "{ }");
    assert.ok(!fits("POST", url, { ...headers, "Content-Digest": other["Content-Digest"] }));
  });
}

// See there for what the two variables hold.
if (process.env.KEYSTILE_TEST_SERVER || process.env.KEYSTILE_TEST_BANK) {
  await import("../testing/server.js");
}
