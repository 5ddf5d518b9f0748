/**
 * Puts the two older encodings of private keys into PKCS#8 (RFC 5208):
 *
 *     SEQUENCE { INTEGER 0, SEQUENCE { OID algorithm, parameters }, OCTET STRING key }
 *
 * The key itself is copied and not looked into: WebCrypto checks it.
 *
 * @module
 */
export type Bytes = import("./key.js").Bytes;
/**
 * @param {Bytes} key an RSAPrivateKey (RFC 8017, appendix A.1.2)
 * @returns {Bytes}
 */
export declare function rsaToPKCS8(key: Bytes): Bytes;
/**
 * @param {Bytes} key an ECPrivateKey (RFC 5915, section 3), taken to be on P-256
 * @returns {Bytes}
 */
export declare function ecToPKCS8(key: Bytes): Bytes;
