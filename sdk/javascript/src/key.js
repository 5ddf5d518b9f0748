/**
 * The keys that sign: a secret for HS256, a private key for the other algorithms.
 *
 * @module
 */

import { ecToPKCS8, rsaToPKCS8 } from "./der.js";

/**
 * How a key signs (RFC 7518, section 3.1; RFC 8037).
 *
 * @typedef {"HS256" | "RS256" | "ES256" | "EdDSA"} Algorithm
 */

/** @typedef {Uint8Array<ArrayBuffer>} Bytes */

/** Something given to the signer cannot be signed, or cannot sign. */
export class SignError extends Error {
  /**
   * @param {string} message
   * @param {ErrorOptions} [options]
   */
  constructor(message, options) {
    super(message, options);
    this.name = "SignError";
  }
}

/**
 * What WebCrypto needs to know of each algorithm: how a key is imported, how it
 * signs, and how a key that fits is called.
 */
const ALGORITHMS = {
  HS256: { imported: { name: "HMAC", hash: "SHA-256" }, signs: "HMAC", fitting: "an HMAC key with SHA-256" },
  RS256: {
    imported: { name: "RSASSA-PKCS1-v1_5", hash: "SHA-256" },
    signs: "RSASSA-PKCS1-v1_5",
    fitting: "an RSA key, for PKCS #1 v1.5 with SHA-256",
  },
  ES256: {
    imported: { name: "ECDSA", namedCurve: "P-256" },
    signs: { name: "ECDSA", hash: "SHA-256" },
    fitting: "a key on the curve P-256",
  },
  EdDSA: { imported: { name: "Ed25519" }, signs: "Ed25519", fitting: "an Ed25519 key" },
};

/** A key that signs. Its CryptoKey is imported at the first signature. */
export class Key {
  /** @type {Algorithm} */
  #algorithm;
  /** @type {() => Promise<CryptoKey>} */
  #load;
  /** @type {Promise<CryptoKey> | undefined} */
  #loaded;

  /**
   * @param {Algorithm} algorithm
   * @param {string | Uint8Array | undefined} secret for HS256
   * @param {string | CryptoKey | undefined} privateKey for the others
   */
  constructor(algorithm, secret, privateKey) {
    if (!Object.hasOwn(ALGORITHMS, algorithm)) {
      throw new SignError(`algorithm ${JSON.stringify(algorithm)} is not supported; use one of ${Object.keys(ALGORITHMS).join(", ")}`);
    }
    this.#algorithm = algorithm;
    this.#load = this.#source(secret, privateKey);
  }

  /**
   * Signs a text: 32 bytes for HS256, the size of the key for RS256, and for ES256
   * r and s of 32 bytes each (RFC 7518, section 3.4), which is what WebCrypto makes.
   *
   * @param {Bytes} text
   * @returns {Promise<Bytes>}
   */
  async sign(text) {
    this.#loaded ??= this.#load();
    const key = await this.#loaded;
    return new Uint8Array(await subtle().sign(ALGORITHMS[this.#algorithm].signs, key, text));
  }

  /**
   * @param {string | Uint8Array | undefined} secret
   * @param {string | CryptoKey | undefined} privateKey
   * @returns {() => Promise<CryptoKey>}
   */
  #source(secret, privateKey) {
    const algorithm = this.#algorithm;
    if (algorithm === "HS256") {
      if (privateKey !== undefined) {
        throw new SignError("HS256 signs with secret, not with privateKey");
      }
      const bytes = secretBytes(secret);
      return () => subtle().importKey("raw", bytes, ALGORITHMS.HS256.imported, false, ["sign"]);
    }
    if (secret !== undefined) {
      throw new SignError(`${algorithm} signs with privateKey, not with secret`);
    }
    if (privateKey === undefined || privateKey === "") {
      throw new SignError(`${algorithm} needs privateKey`);
    }
    if (typeof privateKey !== "string") {
      const key = checked(algorithm, privateKey);
      return async () => key;
    }
    const pkcs8 = readPEM(privateKey);
    return async () => checked(algorithm, await importPKCS8(algorithm, pkcs8));
  }
}

/**
 * The bytes of the text are the key, a newline at its end included: nothing is
 * decoded or cut.
 *
 * @param {string | Uint8Array | undefined} secret
 * @returns {Bytes}
 */
function secretBytes(secret) {
  if (secret !== undefined && typeof secret !== "string" && !(secret instanceof Uint8Array)) {
    throw new SignError("secret is a string or a Uint8Array");
  }
  const bytes = typeof secret === "string" ? new TextEncoder().encode(secret) : new Uint8Array(secret ?? []);
  if (bytes.length === 0) {
    throw new SignError("secret is empty");
  }
  return bytes;
}

/**
 * Reads one unencrypted PEM block (PKCS#8, PKCS#1 or SEC 1) as PKCS#8, the one
 * form that WebCrypto takes.
 *
 * @param {string} pem
 * @returns {Bytes}
 */
function readPEM(pem) {
  const block = /-----BEGIN ([A-Z0-9 ]+)-----([\s\S]*?)-----END \1-----/.exec(pem);
  if (!block?.[2]) {
    throw new SignError("privateKey is not a private key in PEM (PKCS#8, PKCS#1 or SEC 1)");
  }
  if (block[1] === "ENCRYPTED PRIVATE KEY" || block[2].includes("ENCRYPTED")) {
    throw new SignError("privateKey is encrypted; decrypt it first");
  }
  const der = decodeBase64(block[2]);
  switch (block[1]) {
    case "PRIVATE KEY":
      return der;
    case "RSA PRIVATE KEY":
      return rsaToPKCS8(der);
    case "EC PRIVATE KEY":
      return ecToPKCS8(der);
    default:
      throw new SignError(`privateKey is a PEM block "${block[1]}", which is no private key`);
  }
}

/**
 * @param {string} text
 * @returns {Bytes}
 */
function decodeBase64(text) {
  try {
    return Uint8Array.from(atob(text.replace(/\s+/g, "")), (c) => c.charCodeAt(0));
  } catch {
    throw new SignError("privateKey is not a private key in PEM: what is in the block is not base64");
  }
}

/**
 * @param {Exclude<Algorithm, "HS256">} algorithm
 * @param {Bytes} pkcs8
 * @returns {Promise<CryptoKey>}
 */
async function importPKCS8(algorithm, pkcs8) {
  try {
    return await subtle().importKey("pkcs8", pkcs8, ALGORITHMS[algorithm].imported, false, ["sign"]);
  } catch (cause) {
    throw new SignError(`${algorithm} needs ${ALGORITHMS[algorithm].fitting}, and privateKey is something else`, { cause });
  }
}

/**
 * Refuses a key that does not fit the algorithm.
 *
 * @param {Exclude<Algorithm, "HS256">} algorithm
 * @param {CryptoKey} key
 * @returns {CryptoKey}
 */
function checked(algorithm, key) {
  const { imported, fitting } = ALGORITHMS[algorithm];
  /** @type {{name?: string, namedCurve?: string, hash?: {name: string}, modulusLength?: number}} */
  const found = key?.algorithm ?? {};
  const fits =
    found.name === imported.name &&
    key.type === "private" &&
    key.usages.includes("sign") &&
    (algorithm !== "ES256" || found.namedCurve === "P-256") &&
    (algorithm !== "RS256" || found.hash?.name === "SHA-256");
  if (!fits) {
    throw new SignError(`${algorithm} needs ${fitting}, and privateKey is something else`);
  }
  const bits = found.modulusLength;
  if (bits !== undefined && (bits < 2048 || bits > 8192)) {
    throw new SignError(`the RSA key has ${bits} bits; use 2048 to 8192`);
  }
  return key;
}

/** WebCrypto, which a browser shows to pages in a secure context only. */
export function subtle() {
  const found = globalThis.crypto?.subtle;
  if (!found) {
    throw new SignError("WebCrypto is not there; it needs Node.js 20 or newer, or a page served over https");
  }
  return found;
}
