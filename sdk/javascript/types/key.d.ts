/**
 * The keys that sign: a secret for HS256, a private key for the other algorithms.
 *
 * @module
 */
export type Algorithm = "HS256" | "RS256" | "ES256" | "EdDSA";
export type Bytes = Uint8Array<ArrayBuffer>;
/**
 * How a key signs (RFC 7518, section 3.1; RFC 8037).
 *
 * @typedef {"HS256" | "RS256" | "ES256" | "EdDSA"} Algorithm
 */
/** @typedef {Uint8Array<ArrayBuffer>} Bytes */
/** Something given to the signer cannot be signed, or cannot sign. */
export declare class SignError extends Error {
    /**
     * @param {string} message
     * @param {ErrorOptions} [options]
     */
    constructor(message: string, options?: ErrorOptions);
}
/** A key that signs. Its CryptoKey is imported at the first signature. */
export declare class Key {
    #private;
    /**
     * @param {Algorithm} algorithm
     * @param {string | Uint8Array | undefined} secret for HS256
     * @param {string | CryptoKey | undefined} privateKey for the others
     */
    constructor(algorithm: Algorithm, secret: string | Uint8Array | undefined, privateKey: string | CryptoKey | undefined);
    /**
     * Signs a text: 32 bytes for HS256, the size of the key for RS256, and for ES256
     * r and s of 32 bytes each (RFC 7518, section 3.4), which is what WebCrypto makes.
     *
     * @param {Bytes} text
     * @returns {Promise<Bytes>}
     */
    sign(text: Bytes): Promise<Bytes>;
}
/** WebCrypto, which a browser shows to pages in a secure context only. */
export declare function subtle(): SubtleCrypto;
