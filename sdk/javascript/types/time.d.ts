/**
 * Times as the platform writes them.
 *
 * @module
 */
/**
 * Reads an ISO 8601 time with a `T`, UTC if it names no zone, or a date.
 *
 * @param {unknown} text
 * @returns {number} milliseconds since 1970, NaN for what is no such time
 */
export declare function parseTime(text: unknown): number;
