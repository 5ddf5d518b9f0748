/**
 * Lets only requests with a session through, in Express (or any server with
 * `(request, response, next)`) and in servers whose handlers take a Request and
 * return a Response.
 *
 * @module
 */
export type SessionToken = import("./session.js").SessionToken;
export type SessionVerifier = import("./session.js").SessionVerifier;
export type MiddlewareOptions = {
    verifier: SessionVerifier;
    /**
     * whether a request that carries no credential at all goes through; its session is null
     */
    optional?: boolean;
};
export type NodeRequest = {
    headers: {
        authorization?: string | undefined;
    };
    headersDistinct?: {
        authorization?: string[] | undefined;
    };
    /**
     * set here
     */
    keystileSession?: SessionToken | null;
};
export type NodeResponse = {
    statusCode: number;
    setHeader: (name: string, value: string) => unknown;
    end: (body: string) => unknown;
};
/** @typedef {import("./session.js").SessionToken} SessionToken */
/** @typedef {import("./session.js").SessionVerifier} SessionVerifier */
/**
 * A request without a good token gets 401, and 503 while the server's keys cannot be
 * had. Answer CORS preflights before: they carry no credential.
 *
 * @typedef {object} MiddlewareOptions
 * @property {SessionVerifier} verifier
 * @property {boolean} [optional] whether a request that carries no credential at all goes through; its session is null
 */
/**
 * What is needed of Node's requests.
 *
 * @typedef {object} NodeRequest
 * @property {{authorization?: string | undefined}} headers
 * @property {{authorization?: string[] | undefined}} [headersDistinct]
 * @property {SessionToken | null} [keystileSession] set here
 */
/**
 * What is needed of Node's responses.
 *
 * @typedef {object} NodeResponse
 * @property {number} statusCode
 * @property {(name: string, value: string) => unknown} setHeader
 * @property {(body: string) => unknown} end
 */
/**
 * Express middleware: puts the SessionToken into `request.keystileSession`.
 *
 * @param {MiddlewareOptions} options
 * @returns {(request: NodeRequest, response: NodeResponse, next: (error?: unknown) => void) => Promise<void>}
 */
export declare function expressSession({ verifier, optional }: MiddlewareOptions): (request: NodeRequest, response: NodeResponse, next: (error?: unknown) => void) => Promise<void>;
/**
 * Wraps a handler: it is given the SessionToken after the Request.
 *
 * @template {unknown[]} Rest
 * @param {MiddlewareOptions} options
 * @param {(request: Request, session: SessionToken | null, ...rest: Rest) => Response | Promise<Response>} handler
 * @returns {(request: Request, ...rest: Rest) => Promise<Response>}
 */
export declare function withSession<Rest extends unknown[]>({ verifier, optional }: MiddlewareOptions, handler: (request: Request, session: SessionToken | null, ...rest: Rest) => Response | Promise<Response>): (request: Request, ...rest: Rest) => Promise<Response>;
