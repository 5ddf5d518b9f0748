"""Makes keys, key sets and tokens of every kind, good and bad, for who verifies them.

It is written from the standards and shares no code with the package.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa, utils
from cryptography.hazmat.primitives.hashes import SHA256

NOW = 1_800_000_000
ISSUER = "https://auth.example.com"
CLAIMS: dict[str, Any] = {
    "iss": ISSUER,
    "sub": "u1",
    "aud": ISSUER,
    "iat": NOW,
    "exp": NOW + 60,
    "jti": "j1",
    "sid": "s1",
    "auth_time": NOW,
    "amr": ["pwd"],
    "organization": "org-1",
    "username": "user@example.com",
}
ONA_CLAIMS: dict[str, Any] = {
    "user_id": "u1",
    "username": "user@example.com",
    "role_id": "role_admin",
    "customer_ids": ["c1"],
    "group_id": None,
    "skin_id": None,
    "exp": NOW + 60,
    "iat": NOW,
    "jti": "j1",
    "sid": "s1",
}
SECRET = "a secret of thirty-two bytes, more"


def b64(data: bytes | str | int) -> str:
    if isinstance(data, int):
        data = data.to_bytes((data.bit_length() + 7) // 8, "big")
    return base64.urlsafe_b64encode(data.encode() if isinstance(data, str) else data).rstrip(b"=").decode()


@dataclass(frozen=True)
class Key:
    """``sign`` is None for a key that only stands in a set."""

    algorithm: str
    jwk: dict[str, Any]
    sign: Callable[[bytes], bytes]


def hmac_signer(secret: bytes) -> Callable[[bytes], bytes]:
    return lambda text: hmac.new(secret, text, hashlib.sha256).digest()


def _ed25519(kid: str) -> Key:
    private = ed25519.Ed25519PrivateKey.generate()
    jwk = {"kty": "OKP", "crv": "Ed25519", "x": b64(private.public_key().public_bytes_raw()), "kid": kid}
    return Key("EdDSA", jwk | {"alg": "EdDSA", "use": "sig"}, private.sign)


def _p256(kid: str) -> Key:
    private = ec.generate_private_key(ec.SECP256R1())
    numbers = private.public_key().public_numbers()
    x, y = (b64(n.to_bytes(32, "big")) for n in (numbers.x, numbers.y))

    def sign(text: bytes) -> bytes:
        r, s = utils.decode_dss_signature(private.sign(text, ec.ECDSA(SHA256())))
        return r.to_bytes(32, "big") + s.to_bytes(32, "big")

    return Key("ES256", {"kty": "EC", "crv": "P-256", "x": x, "y": y, "kid": kid, "alg": "ES256"}, sign)


def _rsa(kid: str, bits: int = 2048) -> Key:
    private = rsa.generate_private_key(65537, bits)
    numbers = private.public_key().public_numbers()
    jwk = {"kty": "RSA", "n": b64(numbers.n), "e": b64(numbers.e), "kid": kid, "key_ops": ["verify"]}
    return Key("RS256", jwk, lambda text: private.sign(text, padding.PKCS1v15(), SHA256()))


KEYS = {"ed": _ed25519("ed"), "ec": _p256("ec"), "rsa": _rsa("rsa")}
SMALL_RSA = _rsa("small", 1024)


def key_set(*keys: Key) -> dict[str, Any]:
    return {"keys": [key.jwk for key in keys or KEYS.values()]}


def jwt(
    key: Key | Callable[[bytes], bytes],
    claims: dict[str, Any] | str = CLAIMS,
    header: dict[str, Any] | str | None = None,
    **changes: Any,
) -> str:
    """A token, signed. ``changes`` are of its claims; a text is taken as it is, whether JSON or not."""
    sign = key.sign if isinstance(key, Key) else key
    if header is None:
        header = {"alg": key.algorithm, "typ": "JWT", "kid": key.jwk["kid"]} if isinstance(key, Key) else {"alg": "HS256", "typ": "JWT"}
    if isinstance(claims, dict):
        claims = json.dumps({name: value for name, value in (claims | changes).items() if value is not ...})
    text = b64(header if isinstance(header, str) else json.dumps(header)) + "." + b64(claims)
    return f"{text}.{b64(sign(text.encode()))}"
