"""The keys that sign: a secret for HS256, a private key for the other algorithms.

``cryptography`` is imported only when a private key is given, so that HS256 works
with the standard library alone.
"""

from __future__ import annotations

import hashlib
import hmac
from typing import TYPE_CHECKING, Any, Literal, Protocol, Union, get_args

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
    from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey

    PrivateKey = Union[RSAPrivateKey, EllipticCurvePrivateKey, Ed25519PrivateKey]

Algorithm = Literal["HS256", "RS256", "ES256", "EdDSA"]
"""How a key signs (RFC 7518, section 3.1; RFC 8037)."""

ALGORITHMS: tuple[str, ...] = get_args(Algorithm)

_FITTING = {
    "RS256": "an RSA key",
    "ES256": "a key on the curve P-256",
    "EdDSA": "an Ed25519 key",
}


class SignError(ValueError):
    """Something given to the signer cannot be signed, or cannot sign."""


class Key(Protocol):
    """Signs a text: 32 bytes for HS256, the size of the key for RS256, 64 for the others."""

    def sign(self, text: bytes) -> bytes: ...


def make_key(algorithm: str, secret: str | bytes | None, private_key: Any) -> Key:
    """The key of an algorithm, from the secret or from the private key, never both."""
    if algorithm not in ALGORITHMS:
        raise SignError(f"algorithm {algorithm!r} is not supported; use one of {', '.join(ALGORITHMS)}")
    if algorithm == "HS256":
        if private_key is not None:
            raise SignError("HS256 signs with secret, not with private_key")
        return _HMACKey(_secret_bytes(secret))
    if secret is not None:
        raise SignError(f"{algorithm} signs with private_key, not with secret")
    if private_key is None or private_key in ("", b""):
        raise SignError(f"{algorithm} needs private_key")
    return _asymmetric_key(algorithm, private_key)


def _secret_bytes(secret: str | bytes | None) -> bytes:
    # The bytes of the text are the key, a newline at its end included: nothing is decoded or cut.
    if isinstance(secret, str):
        secret = secret.encode("utf-8")
    if secret is not None and not isinstance(secret, bytes):
        raise SignError(f"secret is str or bytes, not {type(secret).__name__}")
    if not secret:
        raise SignError("secret is empty")
    return secret


class _HMACKey:
    def __init__(self, secret: bytes) -> None:
        self._secret = secret

    def sign(self, text: bytes) -> bytes:
        return hmac.new(self._secret, text, hashlib.sha256).digest()


def _asymmetric_key(algorithm: str, private_key: Any) -> Key:
    try:
        from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
    except ImportError as missing:
        raise SignError(f"{algorithm} needs the package cryptography: pip install 'keystile[crypto]'") from missing
    if isinstance(private_key, (str, bytes)):
        private_key = _read_pem(private_key)
    if algorithm == "RS256" and isinstance(private_key, rsa.RSAPrivateKey):
        if not 2048 <= private_key.key_size <= 8192:
            raise SignError(f"the RSA key has {private_key.key_size} bits; use 2048 to 8192")
        return _RSAKey(private_key)
    if algorithm == "ES256" and isinstance(private_key, ec.EllipticCurvePrivateKey):
        if isinstance(private_key.curve, ec.SECP256R1):
            return _ECKey(private_key)
    if algorithm == "EdDSA" and isinstance(private_key, ed25519.Ed25519PrivateKey):
        return private_key  # its sign is ours
    raise SignError(f"{algorithm} needs {_FITTING[algorithm]}, and private_key is something else")


def _read_pem(pem: str | bytes) -> Any:
    """Reads one unencrypted PEM block: PKCS#8, PKCS#1 or SEC 1."""
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    data = pem.encode("utf-8") if isinstance(pem, str) else pem
    try:
        return load_pem_private_key(data, password=None)
    except TypeError as encrypted:  # how cryptography asks for a password
        raise SignError("private_key is encrypted; decrypt it first") from encrypted
    except (ValueError, UnsupportedAlgorithm) as unreadable:
        # Without the cause's text: a library might quote what it read.
        raise SignError("private_key is not a private key in PEM (PKCS#8, PKCS#1 or SEC 1)") from unreadable


class _RSAKey:
    def __init__(self, private_key: RSAPrivateKey) -> None:
        self._private_key = private_key

    def sign(self, text: bytes) -> bytes:
        from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
        from cryptography.hazmat.primitives.hashes import SHA256

        return self._private_key.sign(text, PKCS1v15(), SHA256())


class _ECKey:
    def __init__(self, private_key: EllipticCurvePrivateKey) -> None:
        self._private_key = private_key

    def sign(self, text: bytes) -> bytes:
        """r and s, 32 bytes each (RFC 7518, section 3.4; RFC 9421, section 3.3.4)."""
        from cryptography.hazmat.primitives.asymmetric.ec import ECDSA
        from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
        from cryptography.hazmat.primitives.hashes import SHA256

        r, s = decode_dss_signature(self._private_key.sign(text, ECDSA(SHA256())))
        return r.to_bytes(32, "big") + s.to_bytes(32, "big")
