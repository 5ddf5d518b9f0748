/**
 * Reads the compact form of a signed JWT (RFC 7515, section 3.1; RFC 7519), without
 * judging it.
 *
 * @module
 */

import { parseObject } from "./http.js";

/** @typedef {import("./key.js").Bytes} Bytes */

const MAX_TOKEN = 8 << 10; // characters

/**
 * Nothing in it is to be believed yet.
 *
 * @typedef {object} SignedJWT
 * @property {Record<string, unknown>} header
 * @property {Record<string, unknown>} claims
 * @property {Bytes} text what the signature is over
 * @property {Bytes} signature
 */

/**
 * @param {unknown} token
 * @returns {SignedJWT} or throws SyntaxError, which never holds the text, unless it is three parts in base64url, the
 *   first two of them JSON objects
 */
export function readJWT(token) {
  if (typeof token !== "string" || token.length > MAX_TOKEN) {
    throw new SyntaxError(`not a text of at most ${MAX_TOKEN} characters`);
  }
  const [head, claims, signature, ...more] = token.split(".");
  if (!head || !claims || !signature || more.length > 0) {
    throw new SyntaxError("not three parts in base64url");
  }
  return {
    header: parseObject(decodeBase64URL(head)),
    claims: parseObject(decodeBase64URL(claims)),
    text: new TextEncoder().encode(`${head}.${claims}`),
    signature: decodeBase64URL(signature),
  };
}

/**
 * Decodes base64url without padding (RFC 7515, section 2). Each value has one
 * spelling: bits left over are zero, so that a token cannot be changed without
 * changing what it says.
 *
 * @param {string} text
 * @returns {Bytes} or throws SyntaxError
 */
function decodeBase64URL(text) {
  if (!/^[A-Za-z0-9_-]+$/.test(text) || text.length % 4 === 1) {
    throw new SyntaxError("not base64url");
  }
  const standard = text.replaceAll("-", "+").replaceAll("_", "/");
  const binary = atob(standard);
  if (btoa(binary).replace(/=+$/, "") !== standard) {
    throw new SyntaxError("not base64url as it is written");
  }
  return Uint8Array.from(binary, (c) => c.charCodeAt(0));
}
