/**
 * Data that an API key opens.
 *
 * @module
 */

import { broken, call, endpointOf, required, requiredCredential } from "./calls.js";
import { AuthenticationError, ValidationError } from "./errors.js";
import { parseTime } from "./time.js";

/** @typedef {import("./calls.js").Sending} Sending */

/**
 * ISO 8601 times, UTC where they name no zone.
 *
 * @typedef {object} TimeRange
 * @property {string} start is included
 * @property {string} end is not
 */

/**
 * What an inverter did in an interval: `power` is its mean in kW, `kWh` its energy.
 *
 * @typedef {object} TelemetryRecord
 * @property {string} asset_id
 * @property {string} site_id
 * @property {string} timestamp
 * @property {number} power
 * @property {number} kWh
 * @property {number} inverter_state
 * @property {number} run_state
 * @property {string} [asset_ts]
 * @property {number} [kVArh]
 * @property {number} [kVA]
 * @property {number} [PF]
 * @property {number} [temperature]
 * @property {number} [soc]
 * @property {number} [soh]
 * @property {string} [error_code]
 * @property {string} [error_type]
 */

/**
 * `nextCursor` continues the list; null at its end, or from a server that does not say.
 *
 * @typedef {TelemetryRecord[] & {nextCursor: string | null}} Records
 */

/**
 * @typedef {object} Span
 * @property {string} site_id
 * @property {TimeRange} time_range at most 31 days
 * @property {"5min" | "daily"} [resolution]
 * @property {number} [limit] 1 to 1000, else 100
 * @property {string | undefined} [cursor] where an earlier answer said that it goes on
 */

const MAX_LIMIT = 1000;
const MAX_DAYS = 31;
const REQUIRED = ["asset_id", "site_id", "timestamp", "power", "kWh", "inverter_state", "run_state"];

/** An endpoint and its API key. */
class DataClient {
  /** @type {Sending} */
  #sending;
  /** @type {string} */
  #endpoint;
  /** @type {string} */
  #apiKey;

  /**
   * @param {string} name
   * @param {string | undefined} endpoint
   * @param {string | undefined} apiKey
   * @param {Sending} sending
   */
  constructor(name, endpoint, apiKey, sending) {
    this.#endpoint = endpointOf(`endpoints.${name}`, endpoint);
    if (!apiKey) {
      throw new AuthenticationError(`${name}ApiKey is required`);
    }
    this.#apiKey = requiredCredential(`${name}ApiKey`, apiKey);
    this.#sending = sending;
  }

  /**
   * @protected
   * @param {string} path
   * @param {Record<string, string>} query
   */
  async _get(path, query) {
    const url = `${this.#endpoint}/${path}?${new URLSearchParams(query)}`;
    return call(this.#sending, { method: "GET", url, headers: { Accept: "application/json", "x-api-key": this.#apiKey } }, true);
  }
}

/**
 * Reads the records of inverters. A read is sent again when the server cannot
 * answer, not when a limit is reached.
 */
export class InverterTelemetryClient extends DataClient {
  /**
   * @param {string | undefined} endpoint the base under which `/telemetry/…` lies
   * @param {string | undefined} apiKey
   * @param {Sending} sending
   */
  constructor(endpoint, apiKey, sending) {
    super("inverterTelemetry", endpoint, apiKey, sending);
  }

  /**
   * Up to `limit` records of one inverter. It rejects with AuthenticationError for a
   * key that is not good or not for the site, and with RateLimitError, ValidationError,
   * ServiceUnavailableError or TimeoutError.
   *
   * @param {Span & {asset_id: string}} query
   * @returns {Promise<Records>}
   */
  async getInverterTelemetry(query) {
    const asset_id = required("asset_id", query?.asset_id);
    const members = await this._get("telemetry/inverter", { asset_id, ...spanQuery(query) });
    const records = objects(members, "records");
    for (const record of records) {
      for (const name of REQUIRED) {
        if (record[name] === undefined || record[name] === null) {
          throw new ValidationError(`a telemetry record lacks ${name}`);
        }
      }
    }
    const next = members["next_cursor"];
    return Object.assign(/** @type {TelemetryRecord[]} */ (/** @type {unknown} */ (records)), {
      nextCursor: typeof next === "string" && next !== "" ? next : null,
    });
  }
}

/** Reads the alerts of terminals, as InverterTelemetryClient reads records. */
export class OodaTerminalClient extends DataClient {
  /**
   * @param {string | undefined} endpoint the base under which `/ooda/…` lies
   * @param {string | undefined} apiKey
   * @param {Sending} sending
   */
  constructor(endpoint, apiKey, sending) {
    super("oodaTerminal", endpoint, apiKey, sending);
  }

  /**
   * Up to `limit` alerts of one terminal, with the members the server gives them.
   *
   * @param {Span & {terminal_device_id: string}} query
   * @returns {Promise<Record<string, unknown>[]>}
   */
  async getTerminalAlerts(query) {
    const terminal_device_id = required("terminal_device_id", query?.terminal_device_id);
    return objects(await this._get("ooda/terminal", { terminal_device_id, ...spanQuery(query) }), "alerts");
  }
}

/**
 * @param {Span} span
 * @returns {Record<string, string>}
 */
function spanQuery({ site_id, time_range, resolution = "5min", limit = 100, cursor }) {
  const start = timeOf("start", time_range?.start);
  const end = timeOf("end", time_range?.end);
  if (start > end) {
    throw new ValidationError("time_range.start is after time_range.end");
  }
  if (end - start > MAX_DAYS * 86_400_000) {
    throw new ValidationError(`time_range spans more than ${MAX_DAYS} days`);
  }
  if (!Number.isInteger(limit) || limit < 1 || limit > MAX_LIMIT) {
    throw new ValidationError(`limit is 1 to ${MAX_LIMIT}`);
  }
  return {
    site_id: required("site_id", site_id),
    start: time_range.start,
    end: time_range.end,
    resolution: required("resolution", resolution),
    limit: String(limit),
    ...(cursor && { cursor }),
  };
}

/**
 * @param {string} name
 * @param {unknown} text
 * @returns {number} milliseconds since 1970
 */
function timeOf(name, text) {
  const time = parseTime(text);
  if (Number.isNaN(time)) {
    throw new ValidationError(`time_range.${name} is an ISO 8601 time, as 2025-11-01T00:00:00`);
  }
  return time;
}

/**
 * @param {Record<string, unknown>} members
 * @param {string} name
 * @returns {Record<string, unknown>[]}
 */
function objects(members, name) {
  const found = members[name];
  if (!Array.isArray(found) || !found.every((o) => typeof o === "object" && o !== null && !Array.isArray(o))) {
    throw broken(`${name} is no list of objects`);
  }
  return found;
}
