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
export function parseTime(text) {
  const shape = /^\d{4}-\d\d-\d\d(T\d\d:\d\d(:\d\d(\.\d+)?)?(Z|[+-]\d\d:\d\d)?)?$/;
  const parts = typeof text === "string" ? shape.exec(text) : null;
  if (parts === null) {
    return NaN;
  }
  const [whole, time, , , zone] = parts;
  // A date with a time but no zone is local to Date.
  return Date.parse(time !== undefined && zone === undefined ? `${whole}Z` : whole);
}
