/**
 * Sends a call and gives what its answer means: its members, or an error of errors.js.
 *
 * @module
 */

import {
  AuthenticationError,
  ConfigurationError,
  OnaSDKError,
  RateLimitError,
  ResourceNotFoundError,
  ServiceUnavailableError,
  TimeoutError,
  ValidationError,
} from "./errors.js";
import { Unreachable, checkEndpoint, parseObject, send } from "./http.js";

/** @typedef {import("./http.js").Answer} Answer */
/** @typedef {import("./http.js").Request} Request */

const MAX_ANSWER = 16 << 20; // bytes; a thousand records are a tenth of it
const MAX_TEXT = 300; // characters of an error text

/** @type {Record<number, string>} */
const TEXTS = {
  400: "Invalid request",
  401: "Unauthorized",
  403: "Access denied",
  404: "Not found",
  429: "Too many requests",
};

/**
 * How calls are sent. A call that is repeatable is sent again while the server cannot
 * answer; nothing that counts attempts or spends something is.
 *
 * @typedef {object} Sending
 * @property {number} timeout in milliseconds
 * @property {number} retries how often a repeatable call is sent again
 * @property {number} retryDelay before the first repetition, in milliseconds; twice as long before each other
 * @property {(milliseconds: number) => Promise<void>} pause
 */

/**
 * @param {Sending} sending
 * @param {Request} request
 * @param {boolean} [repeatable]
 * @returns {Promise<Record<string, unknown>>} the members of a good answer
 */
export async function call(sending, request, repeatable = false) {
  const retries = repeatable ? sending.retries : 0;
  for (let n = 0; ; n++) {
    try {
      return await once(sending, request);
    } catch (error) {
      if (n === retries || !isPassing(error)) {
        throw error;
      }
    }
    await sending.pause(sending.retryDelay * 2 ** n);
  }
}

/**
 * @param {Sending} sending
 * @param {Request} request
 */
async function once(sending, request) {
  let answer;
  try {
    answer = await send(request, { milliseconds: sending.timeout, size: MAX_ANSWER });
  } catch (cause) {
    if (!(cause instanceof Unreachable)) {
      throw cause;
    }
    if (cause.late) {
      throw new TimeoutError("Request timed out", { cause });
    }
    throw new ServiceUnavailableError(`Service unavailable: ${cause.message}`, { cause });
  }
  if (answer.status < 200 || answer.status > 299) {
    throw errorOf(answer);
  }
  try {
    return parseObject(answer.body);
  } catch {
    throw broken("not a JSON object");
  }
}

/**
 * What a good status with a bad body means. Asking again would not change it.
 *
 * @param {string} why
 */
export function broken(why) {
  return new ServiceUnavailableError(`Invalid response from service: ${why}`, { status: 200 });
}

/**
 * Whether the same request may be answered a little later.
 *
 * @param {unknown} error
 */
function isPassing(error) {
  return (
    error instanceof TimeoutError ||
    (error instanceof ServiceUnavailableError && (error.status === undefined || error.status >= 500))
  );
}

/**
 * @param {Answer} answer
 * @returns {OnaSDKError}
 */
function errorOf(answer) {
  const { status } = answer;
  const text = textOf(answer);
  if (status === 401 || status === 403) {
    return new AuthenticationError(text, { status });
  }
  if (status === 404) {
    return new ResourceNotFoundError(text, { status });
  }
  const retryAfter = secondsOf(answer.headers);
  if (status === 429) {
    return new RateLimitError(text, { status, retryAfter });
  }
  if (status >= 400 && status < 500) {
    return new ValidationError(text, { status });
  }
  return new ServiceUnavailableError(text, { status, retryAfter });
}

/**
 * The server's own text, `{"error": "text"}`, without what could confuse a log or a terminal.
 *
 * @param {Answer} answer
 */
function textOf({ status, body }) {
  const otherwise = TEXTS[status] ?? `Service unavailable (HTTP ${status})`;
  let text;
  try {
    text = parseObject(body)["error"];
  } catch {
    return otherwise;
  }
  if (typeof text !== "string") {
    return otherwise;
  }
  return text.replace(/[\p{C}\p{Zl}\p{Zp}]/gu, "").slice(0, MAX_TEXT) || otherwise;
}

/**
 * Retry-After in seconds (RFC 9110, section 10.2.3); its form with a date is not read.
 *
 * @param {Headers} headers
 */
function secondsOf(headers) {
  const value = headers.get("retry-after")?.trim() ?? "";
  return /^\d{1,9}$/.test(value) ? Number(value) : undefined;
}

/**
 * @param {string} name
 * @param {string | undefined} endpoint
 * @returns {string} the endpoint without slashes at its end
 */
export function endpointOf(name, endpoint) {
  if (!endpoint) {
    throw new ConfigurationError(`${name} is required`);
  }
  try {
    return checkEndpoint(name, endpoint);
  } catch (wrong) {
    throw new ConfigurationError(wrong instanceof Error ? wrong.message : String(wrong));
  }
}

/**
 * A text that is not empty.
 *
 * @param {string} name
 * @param {unknown} value
 * @returns {string}
 */
export function required(name, value) {
  if (typeof value !== "string" || value === "") {
    throw new ValidationError(`${name} is required`);
  }
  return value;
}

/**
 * Whether a text can stand in a header field as a credential.
 *
 * @param {unknown} value
 * @returns {value is string}
 */
export function isCredential(value) {
  return typeof value === "string" && /^[!-~]+$/.test(value);
}

/**
 * A text that can stand in a header field. The error does not show it.
 *
 * @param {string} name
 * @param {unknown} value
 * @returns {string}
 */
export function requiredCredential(name, value) {
  const text = required(name, value);
  if (!isCredential(text)) {
    throw new ValidationError(`${name} has characters that no credential has`);
  }
  return text;
}
