/**
 * Puts the two older encodings of private keys into PKCS#8 (RFC 5208):
 *
 *     SEQUENCE { INTEGER 0, SEQUENCE { OID algorithm, parameters }, OCTET STRING key }
 *
 * The key itself is copied and not looked into: WebCrypto checks it.
 *
 * @module
 */

/** @typedef {import("./key.js").Bytes} Bytes */

const SEQUENCE = 0x30;
const OCTET_STRING = 0x04;
const VERSION_0 = [0x02, 0x01, 0x00];
/** rsaEncryption, 1.2.840.113549.1.1.1 (RFC 8017, appendix A.1), with NULL. */
const RSA = [0x06, 0x09, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x01, 0x05, 0x00];
/** id-ecPublicKey, 1.2.840.10045.2.1, on the curve secp256r1, 1.2.840.10045.3.1.7 (RFC 5480, section 2.1.1). */
const P256 = [
  0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01, 0x06, 0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07,
];

/**
 * @param {Bytes} key an RSAPrivateKey (RFC 8017, appendix A.1.2)
 * @returns {Bytes}
 */
export function rsaToPKCS8(key) {
  return wrap(RSA, key);
}

/**
 * @param {Bytes} key an ECPrivateKey (RFC 5915, section 3), taken to be on P-256
 * @returns {Bytes}
 */
export function ecToPKCS8(key) {
  return wrap(P256, key);
}

/**
 * @param {number[]} algorithm
 * @param {Bytes} key
 * @returns {Bytes}
 */
function wrap(algorithm, key) {
  return new Uint8Array(
    element(SEQUENCE, [...VERSION_0, ...element(SEQUENCE, algorithm), ...element(OCTET_STRING, [...key])]),
  );
}

/**
 * @param {number} tag
 * @param {number[]} content
 * @returns {number[]}
 */
function element(tag, content) {
  const length = [];
  for (let rest = content.length; rest > 0; rest = Math.floor(rest / 256)) {
    length.unshift(rest % 256);
  }
  return content.length < 0x80
    ? [tag, content.length, ...content]
    : [tag, 0x80 + length.length, ...length, ...content];
}
