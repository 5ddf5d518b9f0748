/**
 * Requests that are signed for one use, in three forms.
 *
 *     header()            base64 JSON, as older clients send it: signs API key, nonce and time
 *     jwt()               a JWT that lives 30 seconds: signs its claims
 *     signRequest(...)    an HTTP message signature (RFC 9421) with a content digest
 *                         (RFC 9530): signs method, URL and body too
 *
 * The first two sign nothing of the request: whoever sees one on its way can put
 * it in front of another request, once, before it arrives.
 *
 * The server accepts each signature once, so sign again for every request and for
 * every retry, also after an answer that was lost.
 *
 * @module
 */

import { Key, SignError, subtle } from "./key.js";

/** @typedef {import("./key.js").Algorithm} Algorithm */
/** @typedef {import("./key.js").Bytes} Bytes */

/**
 * @typedef {object} SignerOptions
 * @property {string} organization id of the organisation
 * @property {string} apiKey public name of the signing key
 * @property {Algorithm} algorithm the one the server has on record for the key
 * @property {string | Uint8Array} [secret] for HS256: the bytes of its text are the key, a newline at its end included
 * @property {string | CryptoKey} [privateKey] for RS256 (2048 to 8192 bits), ES256 and EdDSA (Ed25519): unencrypted
 *   PEM, or a CryptoKey that may sign
 */

/**
 * What makes a signature unlike any other. Leave it out: a nonce is then made of
 * the system's random numbers, and the time is the clock's. With both given the
 * result is always the same, except for ES256, whose signatures hold a random
 * number.
 *
 * @typedef {object} Stamp
 * @property {string} [nonce] 16 to 128 printable ASCII characters without space
 * @property {number} [now] whole seconds since 1970
 */

/**
 * The algorithms in the registry of RFC 9421, section 6.2.2.
 *
 * @type {Record<Algorithm, string>}
 */
const MESSAGE_ALGORITHMS = {
  HS256: "hmac-sha256",
  RS256: "rsa-v1_5-sha256",
  ES256: "ecdsa-p256-sha256",
  EdDSA: "ed25519",
};
const JWT_SECONDS = 30;
const MAX_BODY = 64 << 10; // bytes; a server checks no digest of a larger body
const LABEL = "sig1";
const REPLACED_FIELDS = ["content-digest", "signature", "signature-input"];

/**
 * Signs for one signing key of an organisation. Methods may run at the same time.
 * Constructor and methods throw, or reject with, SignError for anything that
 * cannot be used; whether a private key fits is known at the first signature.
 */
export class OneTimeSigner {
  /** @type {string} */
  #organization;
  /** @type {string} */
  #apiKey;
  /** @type {Algorithm} */
  #algorithm;
  /** @type {Key} */
  #key;

  /** @param {SignerOptions} options */
  constructor({ organization, apiKey, algorithm, secret, privateKey }) {
    this.#organization = visible("organization", organization);
    this.#apiKey = visible("apiKey", apiKey);
    this.#key = new Key(algorithm, secret, privateKey);
    this.#algorithm = algorithm;
  }

  /**
   * The value of an Authorization field in the header form, "Bearer " and base64
   * JSON. It signs API key, nonce and time; nothing of the request.
   *
   * @param {Stamp} [stamp]
   * @returns {Promise<string>}
   */
  async header(stamp = {}) {
    const timestamp = seconds(stamp.now);
    const nonce = checkedNonce(stamp.nonce ?? hex(random(16)));
    const signature = await this.#key.sign(utf8(`${this.#apiKey}${nonce}${timestamp}`));
    const fields = {
      organization: this.#organization,
      apiKey: this.#apiKey,
      nonce,
      timestamp,
      accessToken: hex(signature),
    };
    return `Bearer ${base64(utf8(JSON.stringify(fields)))}`;
  }

  /**
   * The value of an Authorization field in the JWT form (RFC 7519), good for 30
   * seconds. It signs nothing of the request. A nonce made here ends with the
   * time, 8 bytes in hexadecimal: servers of the platform check it in one of 64
   * digits.
   *
   * @param {Stamp} [stamp]
   * @returns {Promise<string>}
   */
  async jwt(stamp = {}) {
    const iat = seconds(stamp.now);
    const nonce = checkedNonce(stamp.nonce ?? hex(random(24)) + iat.toString(16).padStart(16, "0"));
    const claims = { aud: this.#organization, apiKey: this.#apiKey, nonce, iat, exp: iat + JWT_SECONDS };
    const text = `${base64url(utf8(JSON.stringify({ alg: this.#algorithm })))}.${base64url(utf8(JSON.stringify(claims)))}`;
    return `Bearer ${text}.${base64url(await this.#key.sign(utf8(text)))}`;
  }

  /**
   * The header fields of a request with an HTTP message signature (RFC 9421):
   * those given, with Signature-Input and Signature, and Content-Digest (RFC 9530)
   * if there is a body; an earlier signature in them is replaced. Signed are the
   * method, the whole URL without its fragment, and the body of at most 64 KiB.
   *
   * Send exactly this method, URL and body, and compress nothing: a request that
   * was changed is refused. The URL is signed as fetch sends it: host in lower
   * case, without the scheme's usual port, path and query percent-encoded. If your
   * library sends another Host, give it in the header fields.
   *
   * @param {string} method in capital letters
   * @param {string | URL} url absolute, http or https
   * @param {Record<string, string> | Iterable<[string, string]>} [headers]
   * @param {string | Uint8Array | ArrayBuffer | null} [body] a string is sent, and signed, in UTF-8
   * @param {Stamp} [stamp]
   * @returns {Promise<Record<string, string>>}
   */
  async signRequest(method, url, headers = {}, body = null, stamp = {}) {
    const now = seconds(stamp.now);
    const nonce = checkedNonce(stamp.nonce ?? hex(random(16)));
    const signed = Object.fromEntries(
      entries(headers).filter(([name]) => !REPLACED_FIELDS.includes(name.toLowerCase())),
    );
    const host = Object.entries(signed).find(([name]) => name.toLowerCase() === "host")?.[1];
    const components = { "@method": checkedMethod(method), "@target-uri": targetURI(url, host) };
    const digest = await contentDigest(body);
    if (digest) {
      Object.assign(components, { "content-digest": digest });
      signed["Content-Digest"] = digest;
    }
    const { base, parameters } = this.#signatureBase(components, nonce, now);
    signed["Signature-Input"] = `${LABEL}=${parameters}`;
    signed["Signature"] = `${LABEL}=:${base64(await this.#key.sign(utf8(base)))}:`;
    return signed;
  }

  /**
   * The text that is signed (RFC 9421, section 2.5), and the value of its last line.
   *
   * @param {Record<string, string>} components
   * @param {string} nonce
   * @param {number} now
   */
  #signatureBase(components, nonce, now) {
    const parameters =
      `(${Object.keys(components).map(quoted).join(" ")});created=${now};nonce=${quoted(nonce)}` +
      `;alg=${quoted(MESSAGE_ALGORITHMS[this.#algorithm])};keyid=${quoted(this.#apiKey)}`;
    const lines = Object.entries(components).map(([name, value]) => `${quoted(name)}: ${value}`);
    return { base: [...lines, `"@signature-params": ${parameters}`].join("\n"), parameters };
  }
}

/**
 * Whether text is one or more printable ASCII characters without space.
 *
 * @param {unknown} text
 * @returns {text is string}
 */
function isVisible(text) {
  return typeof text === "string" && /^[!-~]+$/.test(text);
}

/**
 * @param {string} name
 * @param {string} text
 */
function visible(name, text) {
  if (!isVisible(text)) {
    throw new SignError(`${name} is printable ASCII without space, and not empty`);
  }
  return text;
}

/** @param {string} nonce */
function checkedNonce(nonce) {
  if (!isVisible(nonce) || nonce.length < 16 || nonce.length > 128) {
    throw new SignError("nonce is 16 to 128 printable ASCII characters without space");
  }
  return nonce;
}

/** @param {number | undefined} now */
function seconds(now) {
  if (now === undefined) {
    return Math.floor(Date.now() / 1000);
  }
  // A fraction or text would be signed as other digits than the server reads.
  if (!Number.isSafeInteger(now) || now < 0) {
    throw new SignError("now is whole seconds since 1970, an integer");
  }
  return now;
}

/**
 * Methods are case-sensitive (RFC 9110, section 9.1), and fetch raises some of
 * them to capitals by itself: then the signature would not fit.
 *
 * @param {string} method
 */
function checkedMethod(method) {
  if (typeof method !== "string" || !/^[A-Z]+$/.test(method)) {
    throw new SignError(`method is written in capital letters, as GET; got ${JSON.stringify(method)}`);
  }
  return method;
}

/**
 * The URL as it goes over the wire: the Host field, and path and query of the
 * request line.
 *
 * @param {string | URL} url
 * @param {string | undefined} host
 */
function targetURI(url, host) {
  if (!URL.canParse(url)) {
    throw new SignError("url is absolute and begins with http:// or https://");
  }
  const parts = new URL(url);
  if (parts.protocol !== "https:" && parts.protocol !== "http:") {
    throw new SignError("url is absolute and begins with http:// or https://");
  }
  if (parts.username || parts.password) {
    throw new SignError("url has a user name; leave it out");
  }
  // A question mark with nothing behind it, which search leaves out, is not told apart from none at all.
  return `${parts.protocol}//${visible("Host", host ?? parts.host)}${parts.pathname}${parts.search}`;
}

/**
 * The Content-Digest field of a body, or "" if there is none.
 *
 * @param {string | Uint8Array | ArrayBuffer | null | undefined} body
 */
async function contentDigest(body) {
  const bytes = bodyBytes(body);
  if (bytes.length > MAX_BODY) {
    throw new SignError(`a signed body has at most ${MAX_BODY} bytes; this has ${bytes.length}`);
  }
  if (bytes.length === 0) {
    return "";
  }
  return `sha-256=:${base64(new Uint8Array(await subtle().digest("SHA-256", bytes)))}:`;
}

/**
 * @param {string | Uint8Array | ArrayBuffer | null | undefined} body
 * @returns {Bytes}
 */
function bodyBytes(body) {
  if (typeof body === "string") {
    return utf8(body);
  }
  if (body instanceof Uint8Array || body instanceof ArrayBuffer) {
    return new Uint8Array(body);
  }
  if (body === null || body === undefined) {
    return new Uint8Array();
  }
  throw new SignError("body is a string, a Uint8Array or an ArrayBuffer: read a stream or a form first, and send what you read");
}

/**
 * @param {Record<string, string> | Iterable<[string, string]>} headers
 * @returns {[string, string][]}
 */
function entries(headers) {
  return Symbol.iterator in headers ? [...headers] : Object.entries(headers);
}

/** @param {number} length */
function random(length) {
  return crypto.getRandomValues(new Uint8Array(length));
}

/**
 * A string of structured fields (RFC 9651, section 4.1.6).
 *
 * @param {string} text
 */
function quoted(text) {
  return `"${text.replace(/[\\"]/g, "\\$&")}"`;
}

/**
 * @param {string} text
 * @returns {Bytes}
 */
function utf8(text) {
  return new TextEncoder().encode(text);
}

/** @param {Bytes} bytes */
function hex(bytes) {
  return Array.from(bytes, (b) => b.toString(16).padStart(2, "0")).join("");
}

/** @param {Bytes} bytes */
function base64(bytes) {
  return btoa(String.fromCharCode(...bytes));
}

/** @param {Bytes} bytes */
function base64url(bytes) {
  return base64(bytes).replaceAll("+", "-").replaceAll("/", "_").replaceAll("=", "");
}
