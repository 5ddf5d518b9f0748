/**
 * Reads the compact form of a signed JWT (RFC 7515, section 3.1; RFC 7519), without
 * judging it.
 *
 * @module
 */
export type Bytes = import("./key.js").Bytes;
export type SignedJWT = {
    header: Record<string, unknown>;
    claims: Record<string, unknown>;
    /**
     * what the signature is over
     */
    text: Bytes;
    signature: Bytes;
};
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
export declare function readJWT(token: unknown): SignedJWT;
