/**
 * Logins, tokens and API keys.
 *
 * @module
 */

import { broken, call, endpointOf, isCredential, required, requiredCredential } from "./calls.js";
import { AuthenticationError } from "./errors.js";
import { readJWT } from "./jws.js";
import { parseTime } from "./time.js";

/** @typedef {import("./calls.js").Sending} Sending */

/**
 * Either `token` and `user`, or what is asked for before there is one.
 *
 * @typedef {object} LoginResult
 * @property {string} [token]
 * @property {Record<string, unknown>} [user]
 * @property {string} [message]
 * @property {boolean} [mfa_required]
 * @property {string} [mfa_token]
 * @property {boolean} [mfa_enrollment]
 * @property {string} [provisioning_uri]
 */

/**
 * @typedef {object} RefreshResult
 * @property {string} token
 * @property {number} [expires_in] in seconds
 */

/**
 * The claims of a token about its user.
 *
 * @typedef {object} CurrentUser
 * @property {string | null} user_id
 * @property {string | null} username
 * @property {string | null} role_id
 * @property {string[]} customer_ids
 * @property {string | null} group_id
 * @property {string | null} skin_id
 */

/**
 * Times are ISO 8601.
 *
 * @typedef {object} APIKeyInfo
 * @property {string} [api_key_id]
 * @property {string[]} [permitted_site_ids]
 * @property {string | null} expires_at null for a key that does not expire
 * @property {string} [created_at]
 * @property {boolean} is_expired found out here
 */

/**
 * @typedef {object} APIKeyValidation
 * @property {boolean} valid
 * @property {string[]} [permitted_site_ids]
 * @property {string} [error] why a live key is not valid for the site
 */

const CHALLENGE = ["mfa_required", "mfa_token", "mfa_enrollment", "provisioning_uri"];

/**
 * Logs in, keeps the token of one user, and asks about API keys.
 *
 * A call is sent once and never again: logins and codes are counted. All reject
 * with an error of this package: ValidationError, AuthenticationError,
 * RateLimitError, ServiceUnavailableError or TimeoutError.
 */
export class AuthClient {
  /** @type {Sending} */
  #sending;
  /** @type {string} */
  #endpoint;
  /** @type {string | null} */
  #token = null;

  /**
   * @param {string | undefined} endpoint the base under which `/api/auth/…` lies
   * @param {Sending} sending
   */
  constructor(endpoint, sending) {
    this.#endpoint = endpointOf("endpoints.auth", endpoint);
    this.#sending = sending;
  }

  /**
   * Logs in by name or e-mail address, and forgets the token held before.
   *
   * If the answer has `mfa_required`, there is no token yet: ask for the code and call
   * verifyMfa. With `mfa_enrollment` show `provisioning_uri` as a QR code first.
   * Otherwise the token is kept.
   *
   * @param {string} username
   * @param {string} password
   * @returns {Promise<LoginResult>}
   */
  async login(username, password) {
    const body = { username: required("username", username), password: required("password", password) };
    this.#token = null; // whatever comes of it, this client is no longer who it was
    return this.#signedIn(await this.#post("login", body));
  }

  /**
   * Ends a login with the code of the authenticator app, and keeps the token.
   *
   * @param {string | undefined} mfaToken
   * @param {string} totpCode
   * @returns {Promise<LoginResult>}
   */
  async verifyMfa(mfaToken, totpCode) {
    const body = { mfa_token: required("mfaToken", mfaToken), totp_code: required("totpCode", totpCode) };
    return this.#signedIn(await this.#post("verify-mfa", body));
  }

  /**
   * Gets a new token for the one that is held, before that expires, and keeps it.
   *
   * @returns {Promise<RefreshResult>}
   */
  async refreshToken() {
    const members = await this.#post("refresh", undefined, this.#held());
    const token = tokenOf(members);
    this.#token = token;
    return { ...members, token };
  }

  /**
   * Gets a token for one of an identity provider that the server knows by this name,
   * and keeps it.
   *
   * @param {string} externalToken
   * @param {string} [provider]
   * @returns {Promise<LoginResult>}
   */
  async exchangeToken(externalToken, provider = "external") {
    const body = { external_token: required("externalToken", externalToken), provider: required("provider", provider) };
    this.#token = null;
    return this.#signedIn(await this.#post("exchange", body));
  }

  /**
   * Forgets the token and ends its session at the server, so that copies of it end
   * too. The token is forgotten in any case. If the server could not be told, it
   * rejects; a session that had already ended is no error.
   *
   * @returns {Promise<void>}
   */
  async logout() {
    const token = this.#token;
    this.#token = null;
    if (token === null) {
      return;
    }
    try {
      await this.#post("logout", undefined, token);
    } catch (error) {
      if (!(error instanceof AuthenticationError)) {
        throw error;
      }
    }
  }

  /**
   * What the server knows of an API key. The key itself is the proof.
   *
   * @param {string} apiKey
   * @returns {Promise<APIKeyInfo>}
   */
  async getApiKeyInfo(apiKey) {
    const members = await this.#post("api-key-info", { api_key: required("apiKey", apiKey) });
    const at = /** @type {string | null} */ (members["expires_at"] ?? null);
    return { ...members, expires_at: at, is_expired: at !== null && at !== "" && isPast(at) };
  }

  /**
   * Whether a live API key is good for a site. For a key that is not live it rejects
   * with AuthenticationError.
   *
   * @param {string} apiKey
   * @param {string} siteId
   * @returns {Promise<APIKeyValidation>}
   */
  async validateApiKey(apiKey, siteId) {
    const body = { api_key: required("apiKey", apiKey), site_id: required("siteId", siteId) };
    const members = await this.#post("validate-api-key", body);
    const { valid } = members;
    if (typeof valid !== "boolean") {
      throw broken("no valid");
    }
    return { ...members, valid };
  }

  /**
   * Takes a token that was obtained in another way. Throws ValidationError for what
   * cannot be one.
   *
   * @param {string} token
   */
  setToken(token) {
    this.#token = requiredCredential("token", token);
  }

  /** The token that is held, also when it is expired; null without one. */
  getToken() {
    return this.#token;
  }

  /** Whether a token is held. Only the server knows whether it is still good. */
  isAuthenticated() {
    return this.#token !== null;
  }

  /**
   * The header fields of a request with this token; none without one.
   *
   * @returns {{Authorization?: string}}
   */
  getAuthHeader() {
    return this.#token === null ? {} : { Authorization: `Bearer ${this.#token}` };
  }

  /**
   * Who the token says the user is. Throws AuthenticationError without one, and for
   * one that is expired.
   *
   * Nothing is sent. The signature is not checked, so decide nothing by it: that is
   * for whoever receives the token.
   *
   * @returns {CurrentUser}
   */
  getCurrentUser() {
    const token = this.#held();
    let claims;
    try {
      claims = /** @type {Partial<CurrentUser> & {exp: unknown}} */ (readJWT(token).claims);
    } catch {
      throw new AuthenticationError("Invalid token");
    }
    if (!Number.isSafeInteger(claims.exp)) {
      throw new AuthenticationError("Invalid token: exp is not a whole number");
    }
    if (Number(claims.exp) * 1000 <= Date.now()) {
      throw new AuthenticationError("Token expired");
    }
    const { user_id = null, username = null, role_id = null, group_id = null, skin_id = null } = claims;
    return { user_id, username, role_id, customer_ids: claims.customer_ids ?? [], group_id, skin_id };
  }

  /** @returns {string} */
  #held() {
    if (this.#token === null) {
      throw new AuthenticationError("Not authenticated: log in or set a token");
    }
    return this.#token;
  }

  /**
   * @param {string} path
   * @param {Record<string, string> | undefined} body
   * @param {string} [token]
   */
  #post(path, body, token) {
    return call(this.#sending, {
      method: "POST",
      url: `${this.#endpoint}/api/auth/${path}`,
      headers: {
        Accept: "application/json",
        ...(body && { "Content-Type": "application/json" }),
        ...(token && { Authorization: `Bearer ${token}` }),
      },
      ...(body && { body: JSON.stringify(body) }),
    });
  }

  /**
   * @param {Record<string, unknown>} members
   * @returns {LoginResult}
   */
  #signedIn(members) {
    if (members["mfa_required"]) {
      if (typeof members["mfa_token"] !== "string") {
        throw broken("an MFA challenge without mfa_token");
      }
      return Object.fromEntries(Object.entries(members).filter(([name]) => CHALLENGE.includes(name)));
    }
    this.#token = tokenOf(members);
    return members;
  }
}

/**
 * @param {Record<string, unknown>} members
 * @returns {string}
 */
function tokenOf({ token }) {
  if (!isCredential(token)) {
    throw broken("no token");
  }
  return token;
}

/**
 * Whether a time has come. What cannot be read counts as past.
 *
 * @param {unknown} at
 */
function isPast(at) {
  return !(parseTime(at) > Date.now());
}
