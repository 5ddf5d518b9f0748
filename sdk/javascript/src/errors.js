/**
 * What can go wrong with a call. Each text is the server's own where it sent one,
 * and never holds a credential.
 *
 * @module
 */

/**
 * @typedef {object} Circumstances
 * @property {number | undefined} [status] the HTTP status that was answered; undefined if the error arose here
 * @property {number | undefined} [retryAfter] how many seconds the server asks to wait, if it says so
 * @property {unknown} [cause]
 */

/** The base of all. */
export class OnaSDKError extends Error {
  /**
   * @param {string} message
   * @param {Circumstances} [circumstances]
   */
  constructor(message, { status, retryAfter, cause } = {}) {
    super(message, cause === undefined ? undefined : { cause });
    this.name = "OnaSDKError";
    /** The HTTP status that was answered; undefined if the error arose here. */
    this.status = status;
    /** How many seconds the server asks to wait, if it says so (429 and 503). */
    this.retryAfter = retryAfter;
  }
}

/** An endpoint or setting is missing or wrong. Nothing was sent. */
export class ConfigurationError extends OnaSDKError {
  name = "ConfigurationError";
}

/** An argument is missing or wrong: found here before anything was sent, or by the server (400). */
export class ValidationError extends OnaSDKError {
  name = "ValidationError";
}

/** A credential is missing, wrong or expired (401), or does not allow this (403). */
export class AuthenticationError extends OnaSDKError {
  name = "AuthenticationError";
}

/** There is nothing at this address (404). */
export class ResourceNotFoundError extends OnaSDKError {
  name = "ResourceNotFoundError";
}

/** Too many requests, or too many wrong passwords or codes (429). */
export class RateLimitError extends OnaSDKError {
  name = "RateLimitError";
}

/** The server cannot be reached, cannot answer (5xx), or answered what nobody understands. */
export class ServiceUnavailableError extends OnaSDKError {
  name = "ServiceUnavailableError";
}

/** There was no answer in time. Whether the server did what was asked is not known. */
export class TimeoutError extends OnaSDKError {
  name = "TimeoutError";
}
