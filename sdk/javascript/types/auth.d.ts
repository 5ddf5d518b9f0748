/**
 * Logins, tokens and API keys.
 *
 * @module
 */
export type Sending = import("./calls.js").Sending;
export type LoginResult = {
    token?: string;
    user?: Record<string, unknown>;
    message?: string;
    mfa_required?: boolean;
    mfa_token?: string;
    mfa_enrollment?: boolean;
    provisioning_uri?: string;
};
export type RefreshResult = {
    token: string;
    /**
     * in seconds
     */
    expires_in?: number;
};
export type CurrentUser = {
    user_id: string | null;
    username: string | null;
    role_id: string | null;
    customer_ids: string[];
    group_id: string | null;
    skin_id: string | null;
};
export type APIKeyInfo = {
    api_key_id?: string;
    permitted_site_ids?: string[];
    /**
     * null for a key that does not expire
     */
    expires_at: string | null;
    created_at?: string;
    /**
     * found out here
     */
    is_expired: boolean;
};
export type APIKeyValidation = {
    valid: boolean;
    permitted_site_ids?: string[];
    /**
     * why a live key is not valid for the site
     */
    error?: string;
};
/**
 * Logs in, keeps the token of one user, and asks about API keys.
 *
 * A call is sent once and never again: logins and codes are counted. All reject
 * with an error of this package: ValidationError, AuthenticationError,
 * RateLimitError, ServiceUnavailableError or TimeoutError.
 */
export declare class AuthClient {
    #private;
    /**
     * @param {string | undefined} endpoint the base under which `/api/auth/…` lies
     * @param {Sending} sending
     */
    constructor(endpoint: string | undefined, sending: Sending);
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
    login(username: string, password: string): Promise<LoginResult>;
    /**
     * Ends a login with the code of the authenticator app, and keeps the token.
     *
     * @param {string | undefined} mfaToken
     * @param {string} totpCode
     * @returns {Promise<LoginResult>}
     */
    verifyMfa(mfaToken: string | undefined, totpCode: string): Promise<LoginResult>;
    /**
     * Gets a new token for the one that is held, before that expires, and keeps it.
     *
     * @returns {Promise<RefreshResult>}
     */
    refreshToken(): Promise<RefreshResult>;
    /**
     * Gets a token for one of an identity provider that the server knows by this name,
     * and keeps it.
     *
     * @param {string} externalToken
     * @param {string} [provider]
     * @returns {Promise<LoginResult>}
     */
    exchangeToken(externalToken: string, provider?: string): Promise<LoginResult>;
    /**
     * Forgets the token and ends its session at the server, so that copies of it end
     * too. The token is forgotten in any case. If the server could not be told, it
     * rejects; a session that had already ended is no error.
     *
     * @returns {Promise<void>}
     */
    logout(): Promise<void>;
    /**
     * What the server knows of an API key. The key itself is the proof.
     *
     * @param {string} apiKey
     * @returns {Promise<APIKeyInfo>}
     */
    getApiKeyInfo(apiKey: string): Promise<APIKeyInfo>;
    /**
     * Whether a live API key is good for a site. For a key that is not live it rejects
     * with AuthenticationError.
     *
     * @param {string} apiKey
     * @param {string} siteId
     * @returns {Promise<APIKeyValidation>}
     */
    validateApiKey(apiKey: string, siteId: string): Promise<APIKeyValidation>;
    /**
     * Takes a token that was obtained in another way. Throws ValidationError for what
     * cannot be one.
     *
     * @param {string} token
     */
    setToken(token: string): void;
    /** The token that is held, also when it is expired; null without one. */
    getToken(): string | null;
    /** Whether a token is held. Only the server knows whether it is still good. */
    isAuthenticated(): boolean;
    /**
     * The header fields of a request with this token; none without one.
     *
     * @returns {{Authorization?: string}}
     */
    getAuthHeader(): {
        Authorization?: string;
    };
    /**
     * Who the token says the user is. Throws AuthenticationError without one, and for
     * one that is expired.
     *
     * Nothing is sent. The signature is not checked, so decide nothing by it: that is
     * for whoever receives the token.
     *
     * @returns {CurrentUser}
     */
    getCurrentUser(): CurrentUser;
}
