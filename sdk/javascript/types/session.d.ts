/**
 * Checks the session tokens (JWT, RFC 7519) that a Keystile server hands out, without
 * asking it each time.
 *
 * A token that is good here may be one whose session was ended a moment ago: a server
 * that must know asks Keystile (`/v1/decisions`), or stands behind its gateway.
 *
 * @module
 */
export type KeySource = import("./keyset.js").KeySource;
export type Reason = "malformed" | "algorithm" | "unknown_key" | "signature" | "expired" | "not_yet_valid" | "issuer" | *   "audience" | "not_a_session";
/**
 * Why a token is not accepted.
 *
 * @typedef {"malformed" | "algorithm" | "unknown_key" | "signature" | "expired" | "not_yet_valid" | "issuer" |
 *   "audience" | "not_a_session"} Reason
 */
/** The token is not accepted. `reason` is for a log, not for who sent it. */
export declare class SessionRejected extends Error {
    reason: Reason;
    name: string;
    /** @param {Reason} reason */
    constructor(reason: Reason);
}
export type SessionToken = {
    /**
     * the user's id: `sub`, or `user_id` in Ona's dialect
     */
    subject: string;
    /**
     * `sid`
     */
    sessionId: string;
    /**
     * seconds since 1970
     */
    expiresAt: number;
    /**
     * all of them
     */
    claims: Record<string, unknown>;
};
export type VerifierOptions = {
    /**
     * the server's public keys, `https://…/.well-known/jwks.json`; tokens are then EdDSA,
     * ES256 or RS256, as each key says
     */
    jwksUrl?: string;
    /**
     * the HS256 secret of Ona's dialect, at least 32 bytes. Who knows it can also
     * make tokens: it is nothing for a browser, and where that must not be, use `jwksUrl` or ask the server
     */
    secret?: string | Uint8Array;
    /**
     * what `iss` must be: the server's public URL. Tokens of Ona's dialect have neither `iss`
     * nor `aud`, unless the server's configuration says so
     */
    issuer?: string;
    /**
     * what `aud` must be or hold: if it is not given, the issuer, for whom the server makes
     * the tokens of its sessions. A token that is made for somebody else is refused (RFC 7519, section 4.1.3)
     */
    audience?: string;
    /**
     * seconds since 1970
     */
    clock?: () => number;
};
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
export declare class SessionVerifier {
    #private;
    /** @param {VerifierOptions} options */
    constructor({ jwksUrl, secret, issuer, audience, clock }: VerifierOptions);
    /**
     * Now and then it fetches the server's keys, which takes up to five seconds.
     *
     * @param {string} token
     * @returns {Promise<SessionToken>} or rejects with SessionRejected, and with KeysUnavailable where the server's keys
     *   cannot be had
     */
    verify(token: string): Promise<SessionToken>;
}
