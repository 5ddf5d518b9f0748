// The three forms against a running server. The tests import this file when there is one, which two environment
// variables say, set together:
//
//   KEYSTILE_TEST_SERVER  The base URL of a Keystile gateway, as its routes match it: http://127.0.0.1:8080
//   KEYSTILE_TEST_BANK    JSON: the signing keys the server knows, with what signs, and requests that a route
//                         with `accept: [onetime]` lets each of them make with status 200.
//
//     {"keys": [{"organization": "bank-x", "api_key": "demo-api-key", "algorithm": "HS256", "secret": "demo-secret"},
//               {"organization": "bank-x", "api_key": "rsa-1", "algorithm": "RS256",
//                "private_key": "-----BEGIN PRIVATE KEY-----…"}],
//      "requests": [{"method": "GET", "path": "/finapi/profiles/owner"},
//                   {"method": "POST", "path": "/finapi/payments/deposit", "body": "{}"}]}

import assert from "node:assert/strict";
import { test } from "node:test";

import { signerOf } from "./vectors.js";

const server = (process.env.KEYSTILE_TEST_SERVER ?? "").replace(/\/+$/, "");
const bank = JSON.parse(process.env.KEYSTILE_TEST_BANK ?? "{}");

assert.ok(server !== "" && bank.keys !== undefined, "set KEYSTILE_TEST_SERVER and KEYSTILE_TEST_BANK together");
assert.ok(bank.keys.length > 0 && bank.requests?.length > 0, "KEYSTILE_TEST_BANK has no keys or no requests");

async function status(method, path, headers, body) {
  const answer = await fetch(server + path, { method, headers, body, redirect: "manual" });
  await answer.arrayBuffer();
  return answer.status;
}

async function fieldsOf(form, signer, { method, path, body }) {
  const plain = body === undefined ? {} : { "Content-Type": "application/json" };
  if (form === "http_signature") {
    return signer.signRequest(method, server + path, plain, body);
  }
  return { ...plain, Authorization: await (form === "header" ? signer.header() : signer.jwt()) };
}

for (const key of bank.keys) {
  for (const request of bank.requests) {
    const { method, path, body } = request;
    for (const form of ["header", "jwt", "http_signature"]) {
      test(`a signed request is granted once: ${form}, ${key.api_key}, ${method} ${path}`, async () => {
        for (let i = 0; i < 2; i++) { // signing again is another request
          const headers = await fieldsOf(form, signerOf(key), request);
          assert.equal(await status(method, path, headers, body), 200);
          assert.equal(await status(method, path, headers, body), 401);
        }
      });
    }
    test(`a message signature fits one target only: ${key.api_key}, ${method} ${path}`, async () => {
      const headers = await fieldsOf("http_signature", signerOf(key), request);
      assert.equal(await status(method, `${path}?changed=1`, headers, body), 401);
      // The refusal spent nothing: the request that was signed is still granted.
      assert.equal(await status(method, path, headers, body), 200);
    });
  }
}
