/**
 * Signs one-time requests for a Keystile server. It sends nothing and verifies
 * nothing.
 *
 * @module
 */

export { OneTimeSigner } from "./onetime.js";
export { SignError } from "./key.js";

/** @typedef {import("./key.js").Algorithm} Algorithm */
/** @typedef {import("./onetime.js").SignerOptions} SignerOptions */
/** @typedef {import("./onetime.js").Stamp} Stamp */
