/**
 * Sends a call and gives what its answer means: its members, or an error of errors.js.
 *
 * @module
 */
import { ServiceUnavailableError } from "./errors.js";
export type Answer = import("./http.js").Answer;
export type Request = import("./http.js").Request;
export type Sending = {
    /**
     * in milliseconds
     */
    timeout: number;
    /**
     * how often a repeatable call is sent again
     */
    retries: number;
    /**
     * before the first repetition, in milliseconds; twice as long before each other
     */
    retryDelay: number;
    pause: (milliseconds: number) => Promise<void>;
};
/**
 * How calls are sent. A call that is repeatable is sent again while the server cannot
 * answer; nothing that counts attempts or spends something is.
 *
 * @typedef {object} Sending
 * @property {number} timeout in milliseconds
 * @property {number} retries how often a repeatable call is sent again
 * @property {number} retryDelay before the first repetition, in milliseconds; twice as long before each other
 * @property {(milliseconds: number) => Promise<void>} pause
 */
/**
 * @param {Sending} sending
 * @param {Request} request
 * @param {boolean} [repeatable]
 * @returns {Promise<Record<string, unknown>>} the members of a good answer
 */
export declare function call(sending: Sending, request: Request, repeatable?: boolean): Promise<Record<string, unknown>>;
/**
 * What a good status with a bad body means. Asking again would not change it.
 *
 * @param {string} why
 */
export declare function broken(why: string): ServiceUnavailableError;
/**
 * @param {string} name
 * @param {string | undefined} endpoint
 * @returns {string} the endpoint without slashes at its end
 */
export declare function endpointOf(name: string, endpoint: string | undefined): string;
/**
 * A text that is not empty.
 *
 * @param {string} name
 * @param {unknown} value
 * @returns {string}
 */
export declare function required(name: string, value: unknown): string;
/**
 * Whether a text can stand in a header field as a credential.
 *
 * @param {unknown} value
 * @returns {value is string}
 */
export declare function isCredential(value: unknown): value is string;
/**
 * A text that can stand in a header field. The error does not show it.
 *
 * @param {string} name
 * @param {unknown} value
 * @returns {string}
 */
export declare function requiredCredential(name: string, value: unknown): string;
