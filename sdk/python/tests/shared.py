"""The vectors that the signing helpers of every language run, and an independent check of signatures.

The check is written from the standards and shares no code with the package.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from pathlib import Path
from typing import Any

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa, utils
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import load_pem_public_key

from keystile import OneTimeSigner

REPOSITORY = Path(__file__).resolve().parents[3]
VECTORS: dict[str, Any] = json.loads((REPOSITORY / "testdata/onetime/vectors.json").read_text())
# What the server accepts and refuses: 55 cases.
SERVER_CASES: dict[str, Any] = json.loads(
    (REPOSITORY / "internal/credential/onetime/testdata/onetime.json").read_text()
)
KEYS: dict[str, dict[str, str]] = VECTORS["keys"]
NONCE = "000102030405060708090a0b0c0d0e0f"
NOW = 1700000000


def signer_of(key: dict[str, str]) -> OneTimeSigner:
    return OneTimeSigner(
        organization=key["organization"],
        api_key=key["api_key"],
        algorithm=key["algorithm"],  # type: ignore[arg-type]
        secret=key.get("secret"),
        private_key=key.get("private_key"),
    )


def is_good(key: dict[str, str], text: bytes, signature: bytes) -> bool:
    """Whether the signature is the key's over the text."""
    if key["algorithm"] == "HS256":
        return hmac.compare_digest(hmac.new(key["secret"].encode(), text, hashlib.sha256).digest(), signature)
    public = load_pem_public_key(key["public_key"].encode())
    try:
        if key["algorithm"] == "RS256":
            assert isinstance(public, rsa.RSAPublicKey)
            public.verify(signature, text, padding.PKCS1v15(), SHA256())
        elif key["algorithm"] == "ES256":
            assert isinstance(public, ec.EllipticCurvePublicKey)
            if len(signature) != 64:
                return False
            r, s = int.from_bytes(signature[:32], "big"), int.from_bytes(signature[32:], "big")
            public.verify(utils.encode_dss_signature(r, s), text, ec.ECDSA(SHA256()))
        else:
            assert isinstance(public, ed25519.Ed25519PublicKey)
            public.verify(signature, text)
    except InvalidSignature:
        return False
    return True


def unpadded(text: str) -> bytes:
    """Decodes base64url without padding."""
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


def read_header(value: str) -> tuple[dict[str, Any], bytes, bytes]:
    """The members of the header form, the text that is signed, and the signature."""
    fields = json.loads(base64.b64decode(value.removeprefix("Bearer "), validate=True))
    text = f"{fields['apiKey']}{fields['nonce']}{fields['timestamp']}"
    return fields, text.encode(), bytes.fromhex(fields["accessToken"])


def read_jwt(value: str) -> tuple[dict[str, Any], dict[str, Any], bytes, bytes]:
    """Header and claims of the JWT form, the text that is signed, and the signature."""
    head, claims, signature = value.removeprefix("Bearer ").split(".")
    return json.loads(unpadded(head)), json.loads(unpadded(claims)), f"{head}.{claims}".encode(), unpadded(signature)


def message_base(method: str, uri: str, headers: dict[str, str]) -> bytes:
    """The text under a message signature with our components (RFC 9421, section 2.5)."""
    lines = [f'"@method": {method}', f'"@target-uri": {uri}']
    if "Content-Digest" in headers:
        lines.append(f'"content-digest": {headers["Content-Digest"]}')
    parameters = headers["Signature-Input"].removeprefix("sig1=")
    return "\n".join([*lines, f'"@signature-params": {parameters}']).encode()


def message_signature(headers: dict[str, str]) -> bytes:
    value = headers["Signature"]
    assert value.startswith("sig1=:") and value.endswith(":")
    return base64.b64decode(value[len("sig1=:") : -1], validate=True)
