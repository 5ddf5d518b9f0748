/**
 * What can go wrong with a call. Each text is the server's own where it sent one,
 * and never holds a credential.
 *
 * @module
 */
export type Circumstances = {
    /**
     * the HTTP status that was answered; undefined if the error arose here
     */
    status?: number | undefined;
    /**
     * how many seconds the server asks to wait, if it says so
     */
    retryAfter?: number | undefined;
    cause?: unknown;
};
/**
 * @typedef {object} Circumstances
 * @property {number | undefined} [status] the HTTP status that was answered; undefined if the error arose here
 * @property {number | undefined} [retryAfter] how many seconds the server asks to wait, if it says so
 * @property {unknown} [cause]
 */
/** The base of all. */
export declare class OnaSDKError extends Error {
    /** The HTTP status that was answered; undefined if the error arose here. */
    status: number | undefined;
    /** How many seconds the server asks to wait, if it says so (429 and 503). */
    retryAfter: number | undefined;
    /**
     * @param {string} message
     * @param {Circumstances} [circumstances]
     */
    constructor(message: string, { status, retryAfter, cause }?: Circumstances);
}
/** An endpoint or setting is missing or wrong. Nothing was sent. */
export declare class ConfigurationError extends OnaSDKError {
    name: string;
}
/** An argument is missing or wrong: found here before anything was sent, or by the server (400). */
export declare class ValidationError extends OnaSDKError {
    name: string;
}
/** A credential is missing, wrong or expired (401), or does not allow this (403). */
export declare class AuthenticationError extends OnaSDKError {
    name: string;
}
/** There is nothing at this address (404). */
export declare class ResourceNotFoundError extends OnaSDKError {
    name: string;
}
/** Too many requests, or too many wrong passwords or codes (429). */
export declare class RateLimitError extends OnaSDKError {
    name: string;
}
/** The server cannot be reached, cannot answer (5xx), or answered what nobody understands. */
export declare class ServiceUnavailableError extends OnaSDKError {
    name: string;
}
/** There was no answer in time. Whether the server did what was asked is not known. */
export declare class TimeoutError extends OnaSDKError {
    name: string;
}
