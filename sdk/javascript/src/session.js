/**
 * Checks the session tokens (JWT, RFC 7519) that a Keystile server hands out, without
 * asking it each time.
 *
 * A token that is good here may be one whose session was ended a moment ago: a server
 * that must know asks Keystile (`/v1/decisions`), or stands behind its gateway.
 *
 * @module
 */

import { checkEndpoint } from "./http.js";
import { readJWT } from "./jws.js";
import { RemoteKeySet, sharedSecret } from "./keyset.js";

/** @typedef {import("./keyset.js").KeySource} KeySource */

const CLOCK_SKEW = 60; // seconds that the server's clock may be ahead of ours
// What no token of ours has in its header: its own key or where to get one, a demand to
// understand more, another encoding of the payload (RFC 7515, section 4.1; RFC 7797).
const NEVER_IN_A_HEADER = ["jwk", "jku", "x5c", "x5u", "crit", "b64", "zip", "enc"];

/**
 * Why a token is not accepted.
 *
 * @typedef {"malformed" | "algorithm" | "unknown_key" | "signature" | "expired" | "not_yet_valid" | "issuer" |
 *   "audience" | "not_a_session"} Reason
 */

/** The token is not accepted. `reason` is for a log, not for who sent it. */
export class SessionRejected extends Error {
  name = "SessionRejected";

  /** @param {Reason} reason */
  constructor(reason) {
    super(`the session token is not accepted: ${reason}`);
    this.reason = reason;
  }
}

/**
 * A token that was checked.
 *
 * @typedef {object} SessionToken
 * @property {string} subject the user's id: `sub`, or `user_id` in Ona's dialect
 * @property {string} sessionId `sid`
 * @property {number} expiresAt seconds since 1970
 * @property {Record<string, unknown>} claims all of them
 */

/**
 * Give either `jwksUrl` and `issuer`, or `secret`.
 *
 * @typedef {object} VerifierOptions
 * @property {string} [jwksUrl] the server's public keys, `https://…/.well-known/jwks.json`; tokens are then EdDSA,
 *   ES256 or RS256, as each key says
 * @property {string | Uint8Array} [secret] the HS256 secret of Ona's dialect, at least 32 bytes. Who knows it can also
 *   make tokens: it is nothing for a browser, and where that must not be, use `jwksUrl` or ask the server
 * @property {string} [issuer] what `iss` must be: the server's public URL. Tokens of Ona's dialect have neither `iss`
 *   nor `aud`, unless the server's configuration says so
 * @property {string} [audience] what `aud` must be or hold: if it is not given, the issuer, for whom the server makes
 *   the tokens of its sessions. A token that is made for somebody else is refused (RFC 7519, section 4.1.3)
 * @property {() => number} [clock] seconds since 1970
 */

/** Says whose session a token is of. The constructor throws TypeError for options that cannot be used. */
export class SessionVerifier {
  /** @type {KeySource} */
  #keys;
  /** @type {string | undefined} */
  #issuer;
  /** @type {string | undefined} */
  #audience;
  /** @type {() => number} */
  #clock;

  /** @param {VerifierOptions} options */
  constructor({ jwksUrl, secret, issuer, audience, clock = () => Date.now() / 1000 }) {
    if ((jwksUrl === undefined) === (secret === undefined)) {
      throw new TypeError("give jwksUrl or secret, one of them");
    }
    if (issuer === "" || audience === "") {
      throw new TypeError("issuer and audience are not empty");
    }
    if (jwksUrl !== undefined && issuer === undefined) {
      throw new TypeError("issuer is missing: the server's public URL");
    }
    this.#keys = jwksUrl === undefined ? sharedSecret(secret) : new RemoteKeySet(checkEndpoint("jwksUrl", jwksUrl));
    this.#issuer = issuer;
    this.#audience = audience ?? issuer;
    this.#clock = clock;
  }

  /**
   * Now and then it fetches the server's keys, which takes up to five seconds.
   *
   * @param {string} token
   * @returns {Promise<SessionToken>} or rejects with SessionRejected, and with KeysUnavailable where the server's keys
   *   cannot be had
   */
  async verify(token) {
    const { header, claims, text, signature } = parsed(token);
    checkHeader(header);
    const key = await this.#keys.find(header["kid"]);
    if (key === undefined) {
      throw new SessionRejected("unknown_key");
    }
    if (header["alg"] !== key.algorithm) {
      throw new SessionRejected("algorithm");
    }
    if (!(await key.isGood(text, signature))) {
      throw new SessionRejected("signature");
    }
    this.#checkTimes(claims);
    this.#checkParties(claims);
    return sessionOf(claims);
  }

  /** @param {Record<string, unknown>} claims */
  #checkTimes(claims) {
    const now = this.#clock();
    // No leeway: the server and its clients have none either.
    if (secondsOf(claims["exp"]) <= now) {
      throw new SessionRejected("expired");
    }
    for (const name of ["iat", "nbf"]) {
      if (Object.hasOwn(claims, name) && secondsOf(claims[name]) > now + CLOCK_SKEW) {
        throw new SessionRejected("not_yet_valid");
      }
    }
  }

  /** @param {Record<string, unknown>} claims */
  #checkParties({ iss, aud }) {
    if (this.#issuer !== undefined && iss !== this.#issuer) {
      throw new SessionRejected("issuer");
    }
    const meant =
      this.#audience === undefined
        ? aud === undefined || aud === null
        : (Array.isArray(aud) ? aud : [aud]).includes(this.#audience);
    if (!meant) {
      throw new SessionRejected("audience");
    }
  }
}

/** @param {unknown} token */
function parsed(token) {
  try {
    return readJWT(token);
  } catch {
    throw new SessionRejected("malformed");
  }
}

/** @param {Record<string, unknown>} header */
function checkHeader(header) {
  if (NEVER_IN_A_HEADER.some((name) => Object.hasOwn(header, name))) {
    throw new SessionRejected("malformed");
  }
  // Other kinds of JWT say so in typ, and may be signed by the same key (RFC 8725, section 3.11).
  const { typ = "JWT" } = header;
  if (typeof typ !== "string" || !["jwt", "application/jwt"].includes(typ.toLowerCase())) {
    throw new SessionRejected("not_a_session");
  }
}

/**
 * @param {unknown} value
 * @returns {number}
 */
function secondsOf(value) {
  if (typeof value !== "number" || !Number.isSafeInteger(value)) {
    throw new SessionRejected("malformed");
  }
  return value;
}

/**
 * A session's token has `sid`, and does not name the credential it stands for, as an
 * assertion does.
 *
 * @param {Record<string, unknown>} claims
 * @returns {SessionToken}
 */
function sessionOf(claims) {
  const { user_id, sub: subject = user_id, sid: sessionId } = claims;
  if (typeof subject !== "string" || typeof sessionId !== "string" || subject === "" || sessionId === "") {
    throw new SessionRejected("not_a_session");
  }
  if (Object.hasOwn(claims, "credential")) {
    throw new SessionRejected("not_a_session");
  }
  return { subject, sessionId, expiresAt: secondsOf(claims["exp"]), claims };
}
