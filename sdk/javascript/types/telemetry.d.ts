/**
 * Data that an API key opens.
 *
 * @module
 */
export type Sending = import("./calls.js").Sending;
export type TimeRange = {
    /**
     * is included
     */
    start: string;
    /**
     * is not
     */
    end: string;
};
export type TelemetryRecord = {
    asset_id: string;
    site_id: string;
    timestamp: string;
    power: number;
    kWh: number;
    inverter_state: number;
    run_state: number;
    asset_ts?: string;
    kVArh?: number;
    kVA?: number;
    PF?: number;
    temperature?: number;
    soc?: number;
    soh?: number;
    error_code?: string;
    error_type?: string;
};
export type Records = TelemetryRecord[] & {
    nextCursor: string | null;
};
export type Span = {
    site_id: string;
    /**
     * at most 31 days
     */
    time_range: TimeRange;
    resolution?: "5min" | "daily";
    /**
     * 1 to 1000, else 100
     */
    limit?: number;
    /**
     * where an earlier answer said that it goes on
     */
    cursor?: string | undefined;
};
/** An endpoint and its API key. */
declare class DataClient {
    #private;
    /**
     * @param {string} name
     * @param {string | undefined} endpoint
     * @param {string | undefined} apiKey
     * @param {Sending} sending
     */
    constructor(name: string, endpoint: string | undefined, apiKey: string | undefined, sending: Sending);
    /**
     * @protected
     * @param {string} path
     * @param {Record<string, string>} query
     */
    protected _get(path: string, query: Record<string, string>): Promise<Record<string, unknown>>;
}
/**
 * Reads the records of inverters. A read is sent again when the server cannot
 * answer, not when a limit is reached.
 */
export declare class InverterTelemetryClient extends DataClient {
    /**
     * @param {string | undefined} endpoint the base under which `/telemetry/…` lies
     * @param {string | undefined} apiKey
     * @param {Sending} sending
     */
    constructor(endpoint: string | undefined, apiKey: string | undefined, sending: Sending);
    /**
     * Up to `limit` records of one inverter. It rejects with AuthenticationError for a
     * key that is not good or not for the site, and with RateLimitError, ValidationError,
     * ServiceUnavailableError or TimeoutError.
     *
     * @param {Span & {asset_id: string}} query
     * @returns {Promise<Records>}
     */
    getInverterTelemetry(query: Span & {
        asset_id: string;
    }): Promise<Records>;
}
/** Reads the alerts of terminals, as InverterTelemetryClient reads records. */
export declare class OodaTerminalClient extends DataClient {
    /**
     * @param {string | undefined} endpoint the base under which `/ooda/…` lies
     * @param {string | undefined} apiKey
     * @param {Sending} sending
     */
    constructor(endpoint: string | undefined, apiKey: string | undefined, sending: Sending);
    /**
     * Up to `limit` alerts of one terminal, with the members the server gives them.
     *
     * @param {Span & {terminal_device_id: string}} query
     * @returns {Promise<Record<string, unknown>[]>}
     */
    getTerminalAlerts(query: Span & {
        terminal_device_id: string;
    }): Promise<Record<string, unknown>[]>;
}
export {};
