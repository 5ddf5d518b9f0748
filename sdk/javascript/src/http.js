/**
 * One HTTP request and its answer, within limits, by fetch.
 *
 * Nothing is followed or repeated: a redirect is an answer like another, so that no
 * credential travels to a place the caller did not name. No cookie goes with it.
 *
 * @module
 */

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
export class Unreachable extends Error {
  /**
   * @param {string} message
   * @param {{late?: boolean, cause?: unknown}} [circumstances]
   */
  constructor(message, { late = false, cause } = {}) {
    super(message, cause === undefined ? undefined : { cause });
    this.late = late;
  }
}

/**
 * @param {Request} request
 * @param {Limits} limits
 * @returns {Promise<Answer>} or rejects with Unreachable
 */
export async function send({ method, url, headers, body }, limits) {
  try {
    const response = await fetch(url, {
      method,
      headers,
      ...(body === undefined ? {} : { body }),
      redirect: "manual",
      credentials: "omit",
      cache: "no-store",
      referrerPolicy: "no-referrer",
      signal: AbortSignal.timeout(limits.milliseconds),
    });
    return { status: response.status, headers: response.headers, body: await read(response, limits.size) };
  } catch (cause) {
    if (cause instanceof Unreachable) {
      throw cause;
    }
    const late = cause instanceof Error && cause.name === "TimeoutError";
    throw new Unreachable(late ? "no answer in time" : "no connection, or it was cut off", { late, cause });
  }
}

/**
 * @param {Response} response
 * @param {number} size
 * @returns {Promise<Bytes>}
 */
async function read(response, size) {
  /** @type {Uint8Array[]} */
  const pieces = [];
  let length = 0;
  const reader = response.body?.getReader();
  for (let piece = await reader?.read(); piece?.value !== undefined; piece = await reader?.read()) {
    pieces.push(piece.value);
    length += piece.value.length;
    if (length > size) {
      await reader?.cancel();
      throw new Unreachable(`the answer has more than ${size} bytes`);
    }
  }
  const body = new Uint8Array(length);
  let at = 0;
  for (const piece of pieces) {
    body.set(piece, at);
    at += piece.length;
  }
  return body;
}

/**
 * The URL without slashes at its end.
 *
 * @param {string} name
 * @param {unknown} endpoint
 * @returns {string} or throws TypeError unless it is https, or http on this machine
 */
export function checkEndpoint(name, endpoint) {
  // What RFC 3986 allows, without "#", "?" and "@": an endpoint is a scheme, a host and a path.
  const shape = /^https?:\/\/[A-Za-z0-9\-._~:[\]]+(\/[A-Za-z0-9\-._~!$&'()*+,;=:%/]*)?$/;
  if (typeof endpoint !== "string" || !shape.test(endpoint) || !URL.canParse(endpoint)) {
    throw new TypeError(`${name} is a URL like https://api.example.com, without user, query and fragment`);
  }
  const { protocol, hostname } = new URL(endpoint);
  if (protocol !== "https:" && !/^(localhost|127(\.\d+){3}|\[::1\])$/.test(hostname)) {
    throw new TypeError(`${name} must use https:// (http:// is for this machine only)`);
  }
  return endpoint.replace(/\/+$/, "");
}

/**
 * Reads a JSON object (RFC 8259).
 *
 * @param {Uint8Array} data
 * @returns {Record<string, unknown>} or throws SyntaxError for everything else, without quoting it
 */
export function parseObject(data) {
  let value;
  try {
    value = JSON.parse(new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(data));
  } catch {
    throw new SyntaxError("not JSON");
  }
  if (typeof value !== "object" || value === null || Array.isArray(value)) {
    throw new SyntaxError("not a JSON object");
  }
  return value;
}
