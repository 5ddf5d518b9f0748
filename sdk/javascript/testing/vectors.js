/**
 * The vectors that the signing helpers of every language run, and an independent
 * check of signatures: it is written from the standards with node:crypto and
 * shares no code with the package.
 */

import { constants, createHmac, createPublicKey, verify } from "node:crypto";
import { readFileSync } from "node:fs";

import { OneTimeSigner } from "@keystile/sdk";

const read = (path) => JSON.parse(readFileSync(new URL(`../../../${path}`, import.meta.url), "utf8"));

export const VECTORS = read("testdata/onetime/vectors.json");
/** What the server accepts and refuses: 55 cases. */
export const SERVER_CASES = read("internal/credential/onetime/testdata/onetime.json");
export const KEYS = VECTORS.keys;
export const NONCE = "000102030405060708090a0b0c0d0e0f";
export const NOW = 1700000000;

export function signerOf(key) {
  return new OneTimeSigner({
    organization: key.organization,
    apiKey: key.api_key,
    algorithm: key.algorithm,
    ...(key.secret === undefined ? { privateKey: key.private_key } : { secret: key.secret }),
  });
}

/** Whether the signature is the key's over the text. */
export function isGood(key, text, signature) {
  if (key.algorithm === "HS256") {
    return createHmac("sha256", key.secret).update(text).digest().equals(signature);
  }
  const publicKey = createPublicKey(key.public_key);
  switch (key.algorithm) {
    case "RS256":
      return verify("sha256", Buffer.from(text), { key: publicKey, padding: constants.RSA_PKCS1_PADDING }, signature);
    case "ES256":
      return verify("sha256", Buffer.from(text), { key: publicKey, dsaEncoding: "ieee-p1363" }, signature);
    default:
      return verify(null, Buffer.from(text), publicKey, signature);
  }
}

/** The members of the header form, the text that is signed, and the signature. */
export function readHeader(value) {
  const fields = JSON.parse(Buffer.from(value.slice("Bearer ".length), "base64").toString());
  const text = fields.apiKey + fields.nonce + fields.timestamp;
  return { fields, text, signature: Buffer.from(fields.accessToken, "hex") };
}

/** Header and claims of the JWT form, the text that is signed, and the signature. */
export function readJWT(value) {
  const [head, claims, signature] = value.slice("Bearer ".length).split(".");
  const decode = (part) => JSON.parse(Buffer.from(part, "base64url").toString());
  return {
    head: decode(head),
    claims: decode(claims),
    text: `${head}.${claims}`,
    signature: Buffer.from(signature, "base64url"),
  };
}

/** The text under a message signature with our components (RFC 9421, section 2.5). */
export function messageBase(method, uri, headers) {
  const lines = [`"@method": ${method}`, `"@target-uri": ${uri}`];
  if (headers["Content-Digest"]) {
    lines.push(`"content-digest": ${headers["Content-Digest"]}`);
  }
  lines.push(`"@signature-params": ${headers["Signature-Input"].slice("sig1=".length)}`);
  return lines.join("\n");
}

export function messageSignature(headers) {
  return Buffer.from(/^sig1=:([A-Za-z0-9+/]+=*):$/.exec(headers.Signature)[1], "base64");
}
