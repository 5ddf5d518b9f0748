/**
 * A client of Ona's platform in the shape of its own SDK.
 *
 * @module
 */
import { AuthClient } from "./auth.js";
import { InverterTelemetryClient, OodaTerminalClient } from "./telemetry.js";
export type Sending = import("./calls.js").Sending;
export type Endpoints = {
    /**
     * else `ONA_AUTH_ENDPOINT`: the base under which `/api/auth/…` lies
     */
    auth?: string | undefined;
    /**
     * else `INVERTER_TELEMETRY_ENDPOINT`
     */
    inverterTelemetry?: string | undefined;
    /**
     * else `OODA_TERMINAL_ENDPOINT`
     */
    oodaTerminal?: string | undefined;
};
export type OnaOptions = {
    endpoints?: Endpoints;
    /**
     * else `INVERTER_TELEMETRY_API_KEY`
     */
    inverterTelemetryApiKey?: string | undefined;
    /**
     * else `OODA_TERMINAL_API_KEY`
     */
    oodaTerminalApiKey?: string | undefined;
    /**
     * milliseconds to wait for an answer, else 30000
     */
    timeout?: number;
    /**
     * how often a read of data is sent again when the server cannot answer, else 3; logins
     * never are
     */
    retries?: number;
    /**
     * milliseconds before the first repetition, twice as long before each other, else 1000
     */
    retryDelay?: number;
};
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
export declare class OnaSDK {
    #private;
    /** @param {OnaOptions} [options] */
    constructor(options?: OnaOptions);
    /** Logins, tokens and API keys. */
    get auth(): AuthClient;
    /** Records of inverters. */
    get inverterTelemetry(): InverterTelemetryClient;
    /** Alerts of terminals. */
    get oodaTerminal(): OodaTerminalClient;
}
