/**
 * Keys that check signatures: a shared secret, or a set of public keys that is
 * fetched (RFC 7517).
 *
 * The key fixes the algorithm, never the token: a public key cannot be made the
 * secret of an HMAC, and no key checks two algorithms (RFC 8725, section 3.1).
 *
 * @module
 */

import { Unreachable, parseObject, send } from "./http.js";
import { subtle } from "./key.js";

/** @typedef {import("./key.js").Algorithm} Algorithm */
/** @typedef {import("./key.js").Bytes} Bytes */

export const REFETCH_SECONDS = 30; // between two fetches that a token asked for
const MAX_KEY_SET = 64 << 10; // bytes
const FETCH_MILLISECONDS = 5000;
const FRESH_SECONDS = 300; // after which a set is fetched again
const STALE_SECONDS = 3600; // after which a set that cannot be fetched again is no longer believed
const RETRY_SECONDS = 1; // between two fetches as long as there is no set at all
const MAX_KID = 200; // characters
const MIN_SECRET = 32; // bytes (RFC 7518, section 3.2)

/** The keys could not be fetched, so that nothing can be said of a token. Nobody is let in. */
export class KeysUnavailable extends Error {
  name = "KeysUnavailable";
}

/**
 * Says whether a signature fits. It is of one algorithm (RFC 7518, section 3.1).
 *
 * @typedef {object} VerificationKey
 * @property {Algorithm} algorithm
 * @property {(text: Bytes, signature: Bytes) => Promise<boolean>} isGood
 */

/**
 * Finds the key that a token names, undefined if there is none; rejects with KeysUnavailable.
 *
 * @typedef {object} KeySource
 * @property {(kid: unknown) => Promise<VerificationKey | undefined>} find
 */

/**
 * The one HS256 key of a dialect whose verifiers share it, whatever key a token names.
 *
 * @param {unknown} secret
 * @returns {KeySource} or throws TypeError
 */
export function sharedSecret(secret) {
  const bytes = typeof secret === "string" ? new TextEncoder().encode(secret) : secret;
  if (!(bytes instanceof Uint8Array) || bytes.length < MIN_SECRET) {
    throw new TypeError(`secret has at least ${MIN_SECRET} bytes; a shorter one can be guessed from a token`);
  }
  const hmac = { name: "HMAC", hash: "SHA-256" };
  const imported = subtle().importKey("raw", new Uint8Array(bytes), hmac, false, ["verify"]);
  /** @type {VerificationKey} */
  const key = {
    algorithm: "HS256",
    isGood: async (text, signature) => subtle().verify(hmac, await imported, signature, text),
  };
  return { find: async () => key };
}

/**
 * The public keys at a URL.
 *
 * The set is fetched at first use, when it is FRESH_SECONDS old, and for a key that is
 * not in it at most once in REFETCH_SECONDS, so that tokens that name invented keys
 * cannot make it fetch more.
 *
 * @implements {KeySource}
 */
export class RemoteKeySet {
  /** @type {string} */
  #url;
  /** @type {() => number} */
  #clock;
  /** @type {Map<string, VerificationKey> | undefined} */
  #keys;
  /** @type {Promise<void> | undefined} */
  #fetching;
  #fetched = -Infinity;
  #tried = -Infinity;

  /**
   * @param {string} url
   * @param {() => number} [clock] seconds of a clock that is never set back
   */
  constructor(url, clock = () => performance.now() / 1000) {
    this.#url = url;
    this.#clock = clock;
  }

  /**
   * @param {unknown} kid
   * @returns {Promise<VerificationKey | undefined>}
   */
  async find(kid) {
    if (typeof kid !== "string" || kid.length > MAX_KID) {
      return undefined;
    }
    if (this.#isDue(kid)) {
      // Who has a key goes on with it while another request fetches; who has none waits.
      if (this.#fetching === undefined) {
        this.#fetching = this.#fetch();
        await this.#fetching;
      } else if (!this.#keys?.has(kid)) {
        await this.#fetching;
      }
    }
    if (this.#keys === undefined || this.#clock() - this.#fetched > STALE_SECONDS) {
      throw new KeysUnavailable("the set of public keys could not be fetched");
    }
    return this.#keys.get(kid);
  }

  /** @param {string} kid */
  #isDue(kid) {
    const now = this.#clock();
    if (this.#keys === undefined) {
      return now - this.#tried >= RETRY_SECONDS;
    }
    return now - this.#tried >= REFETCH_SECONDS && (!this.#keys.has(kid) || now - this.#fetched >= FRESH_SECONDS);
  }

  async #fetch() {
    try {
      const headers = { Accept: "application/jwk-set+json, application/json" };
      const request = { method: "GET", url: this.#url, headers };
      const answer = await send(request, { milliseconds: FETCH_MILLISECONDS, size: MAX_KEY_SET });
      if (answer.status !== 200) {
        throw new SyntaxError(`HTTP ${answer.status}`);
      }
      this.#keys = await readKeySet(parseObject(answer.body));
      this.#fetched = this.#clock();
    } catch (error) {
      // The keys there are stay, for as long as they are believed.
      if (!(error instanceof Unreachable || error instanceof SyntaxError)) {
        throw error;
      }
    } finally {
      // Last, so that who waits for the first set is not told that there is none.
      this.#tried = this.#clock();
      this.#fetching = undefined;
    }
  }
}

/**
 * The keys of a set by their name.
 *
 * A key that is not for checking signatures, or of another kind than ours, is passed
 * over (RFC 7517, section 5); a symmetric key too, since a set is public.
 *
 * @param {Record<string, unknown>} members
 * @returns {Promise<Map<string, VerificationKey>>} or rejects with SyntaxError for what is no set, or has two keys of
 *   one name
 */
export async function readKeySet({ keys: listed }) {
  if (!Array.isArray(listed)) {
    throw new SyntaxError("keys is no list");
  }
  /** @type {Map<string, VerificationKey>} */
  const keys = new Map();
  for (const jwk of listed) {
    const kid = jwk?.kid;
    if (typeof kid !== "string" || kid === "" || kid.length > MAX_KID || !isForChecking(jwk)) {
      continue;
    }
    const key = await publicKey(jwk);
    if (key === undefined) {
      continue;
    }
    if (keys.has(kid)) {
      throw new SyntaxError("two keys have one name");
    }
    keys.set(kid, key);
  }
  return keys;
}

/** @param {{use?: unknown, key_ops?: unknown}} jwk */
function isForChecking({ use = "sig", key_ops: operations = ["verify"] }) {
  return use === "sig" && Array.isArray(operations) && operations.includes("verify");
}

/**
 * How WebCrypto takes each kind of key (RFC 7518, section 6; RFC 8037, section 2) and
 * checks with it. What is no number or point of the curve, it refuses.
 *
 * @type {{kty: string, crv: string | undefined, members: string[], algorithm: Algorithm, imported: any, checks: any}[]}
 */
const KINDS = [
  {
    kty: "OKP",
    crv: "Ed25519",
    members: ["crv", "x"],
    algorithm: "EdDSA",
    imported: { name: "Ed25519" },
    checks: "Ed25519",
  },
  {
    kty: "EC",
    crv: "P-256",
    members: ["crv", "x", "y"],
    algorithm: "ES256",
    imported: { name: "ECDSA", namedCurve: "P-256" },
    checks: { name: "ECDSA", hash: "SHA-256" },
  },
  {
    kty: "RSA",
    crv: undefined,
    members: ["n", "e"],
    algorithm: "RS256",
    imported: { name: "RSASSA-PKCS1-v1_5", hash: "SHA-256" },
    checks: "RSASSA-PKCS1-v1_5",
  },
];

/**
 * @param {Record<string, unknown>} jwk
 * @returns {Promise<VerificationKey | undefined>}
 */
async function publicKey(jwk) {
  const kind = KINDS.find(({ kty, crv }) => jwk["kty"] === kty && jwk["crv"] === crv);
  if (kind === undefined || (jwk["alg"] !== undefined && jwk["alg"] !== kind.algorithm)) {
    return undefined;
  }
  const { algorithm, checks } = kind;
  const needed = { kty: kind.kty, ...Object.fromEntries(kind.members.map((name) => [name, jwk[name]])) };
  let key;
  try {
    key = await subtle().importKey("jwk", needed, kind.imported, false, ["verify"]);
  } catch {
    return undefined;
  }
  if (kind.kty === "RSA" && !isSafeRSA(key)) {
    return undefined;
  }
  return { algorithm, isGood: (text, signature) => subtle().verify(checks, key, signature, text) };
}

/**
 * 2048 to 8192 bits, and an odd exponent of 3 to 32 bits.
 *
 * @param {CryptoKey} key
 */
function isSafeRSA(key) {
  const { modulusLength: bits, publicExponent: e } = /** @type {RsaKeyAlgorithm} */ (key.algorithm);
  const exponent = e.reduce((value, byte) => value * 256 + byte, 0);
  return bits >= 2048 && bits <= 8192 && exponent >= 3 && exponent < 2 ** 32 && exponent % 2 === 1;
}
