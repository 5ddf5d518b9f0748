/**
 * One HTTP request and its answer, within limits, by fetch.
 *
 * Nothing is followed or repeated: a redirect is an answer like another, so that no
 * credential travels to a place the caller did not name. No cookie goes with it.
 *
 * @module
 */
export type Bytes = import("./key.js").Bytes;
export type Request = {
    method: string;
    url: string;
    headers: Record<string, string>;
    body?: string;
};
export type Limits = {
    /**
     * for the whole answer
     */
    milliseconds: number;
    /**
     * of its body in bytes
     */
    size: number;
};
export type Answer = {
    status: number;
    headers: Headers;
    body: Bytes;
};
/** @typedef {import("./key.js").Bytes} Bytes */
/**
 * @typedef {object} Request
 * @property {string} method
 * @property {string} url
 * @property {Record<string, string>} headers
 * @property {string} [body]
 */
/**
 * @typedef {object} Limits
 * @property {number} milliseconds for the whole answer
 * @property {number} size of its body in bytes
 */
/**
 * @typedef {object} Answer
 * @property {number} status
 * @property {Headers} headers
 * @property {Bytes} body
 */
/** There was no answer, or none that can be read; `late` if it did not come in time. */
export declare class Unreachable extends Error {
    late: boolean;
    /**
     * @param {string} message
     * @param {{late?: boolean, cause?: unknown}} [circumstances]
     */
    constructor(message: string, { late, cause }?: {
        late?: boolean;
        cause?: unknown;
    });
}
/**
 * @param {Request} request
 * @param {Limits} limits
 * @returns {Promise<Answer>} or rejects with Unreachable
 */
export declare function send({ method, url, headers, body }: Request, limits: Limits): Promise<Answer>;
/**
 * The URL without slashes at its end.
 *
 * @param {string} name
 * @param {unknown} endpoint
 * @returns {string} or throws TypeError unless it is https, or http on this machine
 */
export declare function checkEndpoint(name: string, endpoint: unknown): string;
/**
 * Reads a JSON object (RFC 8259).
 *
 * @param {Uint8Array} data
 * @returns {Record<string, unknown>} or throws SyntaxError for everything else, without quoting it
 */
export declare function parseObject(data: Uint8Array): Record<string, unknown>;
