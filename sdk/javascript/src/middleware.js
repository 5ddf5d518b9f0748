/**
 * Lets only requests with a session through, in Express (or any server with
 * `(request, response, next)`) and in servers whose handlers take a Request and
 * return a Response.
 *
 * @module
 */

import { KeysUnavailable, REFETCH_SECONDS } from "./keyset.js";
import { SessionRejected } from "./session.js";

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
export function expressSession({ verifier, optional = false }) {
  return async (request, response, next) => {
    request.keystileSession = null;
    try {
      // Node keeps the first of several fields in headers, and all of them here.
      const fields = request.headersDistinct?.authorization ?? request.headers.authorization;
      const found = await sessionOf(verifier, optional, typeof fields === "string" ? [fields] : (fields ?? []));
      if (found instanceof Refusal) {
        response.statusCode = found.status;
        for (const [name, value] of Object.entries(found.headers)) {
          response.setHeader(name, value);
        }
        response.end(found.body);
        return;
      }
      request.keystileSession = found;
    } catch (error) {
      next(error);
      return;
    }
    next();
  };
}

/**
 * Wraps a handler: it is given the SessionToken after the Request.
 *
 * @template {unknown[]} Rest
 * @param {MiddlewareOptions} options
 * @param {(request: Request, session: SessionToken | null, ...rest: Rest) => Response | Promise<Response>} handler
 * @returns {(request: Request, ...rest: Rest) => Promise<Response>}
 */
export function withSession({ verifier, optional = false }, handler) {
  return async (request, ...rest) => {
    const field = request.headers.get("authorization");
    const found = await sessionOf(verifier, optional, field === null ? [] : [field]);
    if (found instanceof Refusal) {
      return new Response(found.body, { status: found.status, headers: found.headers });
    }
    return handler(request, found, ...rest);
  };
}

/** An answer with problem details (RFC 9457). It says no more than that. */
class Refusal {
  /**
   * @param {number} status
   * @param {string} title
   * @param {Record<string, string>} headers
   */
  constructor(status, title, headers) {
    this.status = status;
    this.headers = { "Content-Type": "application/problem+json", "Cache-Control": "no-store", ...headers };
    this.body = JSON.stringify({ type: "about:blank", title, status });
  }
}

/**
 * @param {SessionVerifier} verifier
 * @param {boolean} optional
 * @param {string[]} fields
 * @returns {Promise<SessionToken | Refusal | null>}
 */
async function sessionOf(verifier, optional, fields) {
  if (fields.length === 0) {
    return optional ? null : new Refusal(401, "Unauthorized", { "WWW-Authenticate": "Bearer" });
  }
  try {
    return await verifier.verify(tokenOf(fields));
  } catch (error) {
    if (error instanceof SessionRejected) {
      return new Refusal(401, "Unauthorized", { "WWW-Authenticate": 'Bearer error="invalid_token"' });
    }
    if (error instanceof KeysUnavailable) {
      return new Refusal(503, "Service Unavailable", { "Retry-After": String(REFETCH_SECONDS) });
    }
    throw error;
  }
}

/**
 * The token in the Authorization field. It stands behind `Bearer` (RFC 6750, section
 * 2.1), or alone, as clients of NAO send it. For anything else it throws
 * SessionRejected: who sends a credential that cannot be read is not a stranger who
 * sends none.
 *
 * @param {string[]} fields
 * @returns {string}
 */
function tokenOf(fields) {
  const token = fields.length === 1 ? /^(?:bearer +)?(\S+)$/i.exec(String(fields[0]).trim())?.[1] : undefined;
  if (token === undefined) {
    throw new SessionRejected("malformed");
  }
  return token;
}
