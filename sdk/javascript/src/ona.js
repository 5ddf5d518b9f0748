/**
 * A client of Ona's platform in the shape of its own SDK.
 *
 * @module
 */

import { AuthClient } from "./auth.js";
import { ConfigurationError } from "./errors.js";
import { InverterTelemetryClient, OodaTerminalClient } from "./telemetry.js";

/** @typedef {import("./calls.js").Sending} Sending */

/**
 * Where the services are: https, or http on this machine.
 *
 * @typedef {object} Endpoints
 * @property {string | undefined} [auth] else `ONA_AUTH_ENDPOINT`: the base under which `/api/auth/…` lies
 * @property {string | undefined} [inverterTelemetry] else `INVERTER_TELEMETRY_ENDPOINT`
 * @property {string | undefined} [oodaTerminal] else `OODA_TERMINAL_ENDPOINT`
 */

/**
 * @typedef {object} OnaOptions
 * @property {Endpoints} [endpoints]
 * @property {string | undefined} [inverterTelemetryApiKey] else `INVERTER_TELEMETRY_API_KEY`
 * @property {string | undefined} [oodaTerminalApiKey] else `OODA_TERMINAL_API_KEY`
 * @property {number} [timeout] milliseconds to wait for an answer, else 30000
 * @property {number} [retries] how often a read of data is sent again when the server cannot answer, else 3; logins
 *   never are
 * @property {number} [retryDelay] milliseconds before the first repetition, twice as long before each other, else 1000
 */

/**
 * Logins and tokens (`auth`) and data (`inverterTelemetry`, `oodaTerminal`). What is
 * not given comes from environment variables, where there are any. A part that is not
 * configured throws ConfigurationError, or AuthenticationError without its API key,
 * when it is first used.
 */
export class OnaSDK {
  /** @type {OnaOptions} */
  #options;
  /** @type {Sending} */
  #sending;
  /** @type {AuthClient | undefined} */
  #auth;
  /** @type {InverterTelemetryClient | undefined} */
  #inverterTelemetry;
  /** @type {OodaTerminalClient | undefined} */
  #oodaTerminal;

  /** @param {OnaOptions} [options] */
  constructor(options = {}) {
    const { timeout = 30_000, retries = 3, retryDelay = 1000 } = options;
    if (!Number.isFinite(timeout) || timeout <= 0) {
      throw new ConfigurationError("timeout is a number of milliseconds above 0");
    }
    if (!Number.isInteger(retries) || retries < 0) {
      throw new ConfigurationError("retries is 0 or more");
    }
    if (!Number.isFinite(retryDelay) || retryDelay < 0) {
      throw new ConfigurationError("retryDelay is a number of milliseconds, 0 or more");
    }
    this.#options = options;
    this.#sending = { timeout, retries, retryDelay, pause };
  }

  /** Logins, tokens and API keys. */
  get auth() {
    this.#auth ??= new AuthClient(this.#options.endpoints?.auth || variable("ONA_AUTH_ENDPOINT"), this.#sending);
    return this.#auth;
  }

  /** Records of inverters. */
  get inverterTelemetry() {
    this.#inverterTelemetry ??= new InverterTelemetryClient(
      this.#options.endpoints?.inverterTelemetry || variable("INVERTER_TELEMETRY_ENDPOINT"),
      this.#options.inverterTelemetryApiKey || variable("INVERTER_TELEMETRY_API_KEY"),
      this.#sending,
    );
    return this.#inverterTelemetry;
  }

  /** Alerts of terminals. */
  get oodaTerminal() {
    this.#oodaTerminal ??= new OodaTerminalClient(
      this.#options.endpoints?.oodaTerminal || variable("OODA_TERMINAL_ENDPOINT"),
      this.#options.oodaTerminalApiKey || variable("OODA_TERMINAL_API_KEY"),
      this.#sending,
    );
    return this.#oodaTerminal;
  }
}

/**
 * An environment variable; undefined in a browser.
 *
 * @param {string} name
 * @returns {string | undefined}
 */
function variable(name) {
  const { process } = /** @type {{process?: {env?: Record<string, string | undefined>}}} */ (globalThis);
  return process?.env?.[name];
}

/**
 * @param {number} milliseconds
 * @returns {Promise<void>}
 */
function pause(milliseconds) {
  return new Promise((resolve) => {
    setTimeout(resolve, milliseconds);
  });
}
