/**
 * For programs that use a Keystile server, or stand behind one:
 *
 *     OneTimeSigner                 signs requests for one use
 *     OnaSDK                        logins and data in the shape of Ona's SDK
 *     SessionVerifier               checks session tokens
 *     expressSession, withSession   do so in front of a server
 *
 * @module
 */
export { AuthClient } from "./auth.js";
export { AuthenticationError, ConfigurationError, OnaSDKError, RateLimitError, ResourceNotFoundError, ServiceUnavailableError, TimeoutError, ValidationError, } from "./errors.js";
export { SignError } from "./key.js";
export { KeysUnavailable } from "./keyset.js";
export { expressSession, withSession } from "./middleware.js";
export { OnaSDK } from "./ona.js";
export { OneTimeSigner } from "./onetime.js";
export { SessionRejected, SessionVerifier } from "./session.js";
export { InverterTelemetryClient, OodaTerminalClient } from "./telemetry.js";
export type APIKeyInfo = import("./auth.js").APIKeyInfo;
export type APIKeyValidation = import("./auth.js").APIKeyValidation;
export type CurrentUser = import("./auth.js").CurrentUser;
export type LoginResult = import("./auth.js").LoginResult;
export type RefreshResult = import("./auth.js").RefreshResult;
export type Algorithm = import("./key.js").Algorithm;
export type MiddlewareOptions = import("./middleware.js").MiddlewareOptions;
export type Endpoints = import("./ona.js").Endpoints;
export type OnaOptions = import("./ona.js").OnaOptions;
export type SignerOptions = import("./onetime.js").SignerOptions;
export type Stamp = import("./onetime.js").Stamp;
export type Reason = import("./session.js").Reason;
export type SessionToken = import("./session.js").SessionToken;
export type VerifierOptions = import("./session.js").VerifierOptions;
export type Records = import("./telemetry.js").Records;
export type TelemetryRecord = import("./telemetry.js").TelemetryRecord;
export type TimeRange = import("./telemetry.js").TimeRange;
/** @typedef {import("./auth.js").APIKeyInfo} APIKeyInfo */
/** @typedef {import("./auth.js").APIKeyValidation} APIKeyValidation */
/** @typedef {import("./auth.js").CurrentUser} CurrentUser */
/** @typedef {import("./auth.js").LoginResult} LoginResult */
/** @typedef {import("./auth.js").RefreshResult} RefreshResult */
/** @typedef {import("./key.js").Algorithm} Algorithm */
/** @typedef {import("./middleware.js").MiddlewareOptions} MiddlewareOptions */
/** @typedef {import("./ona.js").Endpoints} Endpoints */
/** @typedef {import("./ona.js").OnaOptions} OnaOptions */
/** @typedef {import("./onetime.js").SignerOptions} SignerOptions */
/** @typedef {import("./onetime.js").Stamp} Stamp */
/** @typedef {import("./session.js").Reason} Reason */
/** @typedef {import("./session.js").SessionToken} SessionToken */
/** @typedef {import("./session.js").VerifierOptions} VerifierOptions */
/** @typedef {import("./telemetry.js").Records} Records */
/** @typedef {import("./telemetry.js").TelemetryRecord} TelemetryRecord */
/** @typedef {import("./telemetry.js").TimeRange} TimeRange */
