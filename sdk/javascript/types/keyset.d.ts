/**
 * Keys that check signatures: a shared secret, or a set of public keys that is
 * fetched (RFC 7517).
 *
 * The key fixes the algorithm, never the token: a public key cannot be made the
 * secret of an HMAC, and no key checks two algorithms (RFC 8725, section 3.1).
 *
 * @module
 */
export type Algorithm = import("./key.js").Algorithm;
export type Bytes = import("./key.js").Bytes;
/** @typedef {import("./key.js").Algorithm} Algorithm */
/** @typedef {import("./key.js").Bytes} Bytes */
export declare const REFETCH_SECONDS = 30;
/** The keys could not be fetched, so that nothing can be said of a token. Nobody is let in. */
export declare class KeysUnavailable extends Error {
    name: string;
}
export type VerificationKey = {
    algorithm: Algorithm;
    isGood: (text: Bytes, signature: Bytes) => Promise<boolean>;
};
export type KeySource = {
    find: (kid: unknown) => Promise<VerificationKey | undefined>;
};
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
export declare function sharedSecret(secret: unknown): KeySource;
/**
 * The public keys at a URL.
 *
 * The set is fetched at first use, when it is FRESH_SECONDS old, and for a key that is
 * not in it at most once in REFETCH_SECONDS, so that tokens that name invented keys
 * cannot make it fetch more.
 *
 * @implements {KeySource}
 */
export declare class RemoteKeySet implements KeySource {
    #private;
    /**
     * @param {string} url
     * @param {() => number} [clock] seconds of a clock that is never set back
     */
    constructor(url: string, clock?: () => number);
    /**
     * @param {unknown} kid
     * @returns {Promise<VerificationKey | undefined>}
     */
    find(kid: unknown): Promise<VerificationKey | undefined>;
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
export declare function readKeySet({ keys: listed }: Record<string, unknown>): Promise<Map<string, VerificationKey>>;
