/**
 * Requests that are signed for one use, in three forms.
 *
 *     header()            base64 JSON, as older clients send it: signs API key, nonce and time
 *     jwt()               a JWT that lives 30 seconds: signs its claims
 *     signRequest(...)    an HTTP message signature (RFC 9421) with a content digest
 *                         (RFC 9530): signs method, URL and body too
 *
 * The first two sign nothing of the request: whoever sees one on its way can put
 * it in front of another request, once, before it arrives.
 *
 * The server accepts each signature once, so sign again for every request and for
 * every retry, also after an answer that was lost.
 *
 * @module
 */
export type Algorithm = import("./key.js").Algorithm;
export type Bytes = import("./key.js").Bytes;
export type SignerOptions = {
    /**
     * id of the organisation
     */
    organization: string;
    /**
     * public name of the signing key
     */
    apiKey: string;
    /**
     * the one the server has on record for the key
     */
    algorithm: Algorithm;
    /**
     * for HS256: the bytes of its text are the key, a newline at its end included
     */
    secret?: string | Uint8Array;
    /**
     * for RS256 (2048 to 8192 bits), ES256 and EdDSA (Ed25519): unencrypted
     * PEM, or a CryptoKey that may sign
     */
    privateKey?: string | CryptoKey;
};
export type Stamp = {
    /**
     * 16 to 128 printable ASCII characters without space
     */
    nonce?: string;
    /**
     * whole seconds since 1970
     */
    now?: number;
};
/**
 * Signs for one signing key of an organisation. Methods may run at the same time.
 * Constructor and methods throw, or reject with, SignError for anything that
 * cannot be used; whether a private key fits is known at the first signature.
 */
export declare class OneTimeSigner {
    #private;
    /** @param {SignerOptions} options */
    constructor({ organization, apiKey, algorithm, secret, privateKey }: SignerOptions);
    /**
     * The value of an Authorization field in the header form, "Bearer " and base64
     * JSON. It signs API key, nonce and time; nothing of the request.
     *
     * @param {Stamp} [stamp]
     * @returns {Promise<string>}
     */
    header(stamp?: Stamp): Promise<string>;
    /**
     * The value of an Authorization field in the JWT form (RFC 7519), good for 30
     * seconds. It signs nothing of the request. A nonce made here ends with the
     * time, 8 bytes in hexadecimal: servers of the platform check it in one of 64
     * digits.
     *
     * @param {Stamp} [stamp]
     * @returns {Promise<string>}
     */
    jwt(stamp?: Stamp): Promise<string>;
    /**
     * The header fields of a request with an HTTP message signature (RFC 9421):
     * those given, with Signature-Input and Signature, and Content-Digest (RFC 9530)
     * if there is a body; an earlier signature in them is replaced. Signed are the
     * method, the whole URL without its fragment, and the body of at most 64 KiB.
     *
     * Send exactly this method, URL and body, and compress nothing: a request that
     * was changed is refused. The URL is signed as fetch sends it: host in lower
     * case, without the scheme's usual port, path and query percent-encoded. If your
     * library sends another Host, give it in the header fields.
     *
     * @param {string} method in capital letters
     * @param {string | URL} url absolute, http or https
     * @param {Record<string, string> | Iterable<[string, string]>} [headers]
     * @param {string | Uint8Array | ArrayBuffer | null} [body] a string is sent, and signed, in UTF-8
     * @param {Stamp} [stamp]
     * @returns {Promise<Record<string, string>>}
     */
    signRequest(method: string, url: string | URL, headers?: Record<string, string> | Iterable<[string, string]>, body?: string | Uint8Array | ArrayBuffer | null, stamp?: Stamp): Promise<Record<string, string>>;
}
