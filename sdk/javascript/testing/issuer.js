/**
 * Makes keys, key sets and tokens of every kind, good and bad, for who verifies them.
 * It is written from the standards with node:crypto and shares no code with the
 * package.
 */

import { createHmac, generateKeyPairSync, sign } from "node:crypto";

export const NOW = 1_800_000_000;
export const ISSUER = "https://auth.example.com";
export const CLAIMS = {
  iss: ISSUER,
  sub: "u1",
  aud: ISSUER,
  iat: NOW,
  exp: NOW + 60,
  jti: "j1",
  sid: "s1",
  auth_time: NOW,
  amr: ["pwd"],
  organization: "org-1",
  username: "user@example.com",
};
export const ONA_CLAIMS = {
  user_id: "u1",
  username: "user@example.com",
  role_id: "role_admin",
  customer_ids: ["c1"],
  group_id: null,
  skin_id: null,
  exp: NOW + 60,
  iat: NOW,
  jti: "j1",
  sid: "s1",
};
export const SECRET = "a secret of thirty-two bytes, more";

export const hmacSigner = (secret) => (text) => createHmac("sha256", secret).update(text).digest();

function made(algorithm, kid, kind, options, signing) {
  const { privateKey, publicKey } = generateKeyPairSync(kind, options);
  const jwk = { ...publicKey.export({ format: "jwk" }), kid };
  return { algorithm, jwk, sign: (text) => sign(signing.digest, Buffer.from(text), { key: privateKey, ...signing }) };
}

export const rsaKey = (kid, bits, more) =>
  made("RS256", kid, "rsa", { modulusLength: bits, ...more }, { digest: "sha256" });

export const KEYS = {
  ed: made("EdDSA", "ed", "ed25519", {}, { digest: null }),
  ec: made("ES256", "ec", "ec", { namedCurve: "P-256" }, { digest: "sha256", dsaEncoding: "ieee-p1363" }),
  rsa: rsaKey("rsa", 2048),
};

export const keySet = (...keys) => ({ keys: (keys.length > 0 ? keys : Object.values(KEYS)).map((key) => key.jwk) });

const b64 = (data) => Buffer.from(data).toString("base64url");
const text = (value) => b64(typeof value === "string" ? value : JSON.stringify(value));

/** A token, signed by a key or a function. Claims and header that are texts are taken as they are. */
export function jwt(key, claims = CLAIMS, header = undefined) {
  header ??= key.jwk ? { alg: key.algorithm, typ: "JWT", kid: key.jwk.kid } : { alg: "HS256", typ: "JWT" };
  const signed = `${text(header)}.${text(claims)}`;
  return `${signed}.${b64((key.sign ?? key)(signed))}`;
}
