"""Keys that check signatures: a shared secret, or a set of public keys that is fetched (RFC 7517).

The key fixes the algorithm, never the token: a public key cannot be made the secret
of an HMAC, and no key checks two algorithms (RFC 8725, section 3.1).
"""

from __future__ import annotations

import hashlib
import hmac
import threading
import time
from collections.abc import Callable, Mapping
from typing import Any, Protocol

from keystile import _jws
from keystile._http import Answer, Request, Unreachable
from keystile._strictjson import loads_object

MAX_KEY_SET = 64 << 10  # bytes
REFETCH_SECONDS = 30  # between two fetches that a token asked for
FRESH_SECONDS = 300  # after which a set is fetched again
STALE_SECONDS = 3600  # after which a set that cannot be fetched again is no longer believed
_RETRY_SECONDS = 1  # between two fetches as long as there is no set at all
_MAX_KID = 200  # characters
_MIN_SECRET = 32  # bytes (RFC 7518, section 3.2)


class KeysUnavailable(Exception):
    """The keys could not be fetched, so that nothing can be said of a token. Nobody is let in."""


class WouldFetch(Exception):
    """An answer needs the network, and the caller asked for one without."""


class VerificationKey(Protocol):
    """Says whether a signature fits. It is of one algorithm (RFC 7518, section 3.1)."""

    @property
    def algorithm(self) -> str: ...

    def is_good(self, text: bytes, signature: bytes) -> bool: ...


class KeySource(Protocol):
    """Finds the key that a token names, None if there is none.

    Raises KeysUnavailable; with ``fetch`` false WouldFetch instead of using the network.
    """

    def find(self, kid: object, *, fetch: bool) -> VerificationKey | None: ...


class SharedSecret:
    """The one HS256 key of a dialect whose verifiers share it, whatever key a token names."""

    algorithm = "HS256"

    def __init__(self, secret: str | bytes) -> None:
        self._secret = secret.encode("utf-8") if isinstance(secret, str) else secret
        if not isinstance(self._secret, bytes) or len(self._secret) < _MIN_SECRET:
            raise ValueError(f"secret has at least {_MIN_SECRET} bytes; a shorter one can be guessed from a token")

    def find(self, kid: object, *, fetch: bool) -> VerificationKey | None:
        return self

    def is_good(self, text: bytes, signature: bytes) -> bool:
        return hmac.compare_digest(hmac.new(self._secret, text, hashlib.sha256).digest(), signature)


class RemoteKeySet:
    """The public keys at a URL. Safe for use by several threads.

    The set is fetched at first use, when it is FRESH_SECONDS old, and for a key that
    is not in it at most once in REFETCH_SECONDS, so that tokens that name invented
    keys cannot make it fetch more.
    """

    def __init__(
        self, url: str, send: Callable[[Request], Answer], clock: Callable[[], float] = time.monotonic
    ) -> None:
        try:
            import cryptography  # noqa: F401
        except ImportError as missing:
            raise ImportError("public keys need the package cryptography: pip install 'keystile[crypto]'") from missing
        self._url = url
        self._send = send
        self._clock = clock
        self._fetching = threading.Lock()
        self._keys: dict[str, VerificationKey] | None = None
        self._fetched = self._tried = float("-inf")

    def find(self, kid: object, *, fetch: bool) -> VerificationKey | None:
        if not isinstance(kid, str) or len(kid) > _MAX_KID:
            return None
        if self._is_due(kid):
            if not fetch:
                raise WouldFetch
            self._refresh(kid)
        keys = self._keys
        if keys is None or self._clock() - self._fetched > STALE_SECONDS:
            raise KeysUnavailable("the set of public keys could not be fetched")
        return keys.get(kid)

    def _is_due(self, kid: str) -> bool:
        now = self._clock()
        if self._keys is None:
            return now - self._tried >= _RETRY_SECONDS
        return now - self._tried >= REFETCH_SECONDS and (
            kid not in self._keys or now - self._fetched >= FRESH_SECONDS
        )

    def _refresh(self, kid: str) -> None:
        # Who has a key goes on with it while another thread fetches; who has none waits.
        if not self._fetching.acquire(blocking=kid not in (self._keys or {})):
            return
        try:
            if self._is_due(kid):
                self._try_to_fetch()
        finally:
            self._fetching.release()

    def _try_to_fetch(self) -> None:
        try:
            self._keys = self._fetch()
            self._fetched = self._clock()
        except (Unreachable, ValueError):
            pass  # the keys there are stay, for as long as they are believed
        finally:
            # Last, so that who waits for the first set is not told that there is none.
            self._tried = self._clock()

    def _fetch(self) -> dict[str, VerificationKey]:
        answer = self._send(Request("GET", self._url, {"Accept": "application/jwk-set+json, application/json"}))
        if answer.status != 200:
            raise ValueError(f"HTTP {answer.status}")
        return read_key_set(loads_object(answer.body, MAX_KEY_SET))


def read_key_set(members: Mapping[str, Any]) -> dict[str, VerificationKey]:
    """The keys of a set by their name. Raises ValueError for what is no set, or has two keys of one name.

    A key that is not for checking signatures, or of another kind than ours, is passed
    over (RFC 7517, section 5); a symmetric key too, since a set is public.
    """
    listed = members.get("keys")
    if not isinstance(listed, list):
        raise ValueError("keys is no list")
    keys: dict[str, VerificationKey] = {}
    for jwk in listed:
        if not isinstance(jwk, dict) or not _is_for_checking(jwk):
            continue
        kid, key = jwk.get("kid"), _public_key(jwk)
        if key is None or not isinstance(kid, str) or not 0 < len(kid) <= _MAX_KID:
            continue
        if kid in keys:
            raise ValueError("two keys have one name")
        keys[kid] = key
    return keys


def _is_for_checking(jwk: Mapping[str, Any]) -> bool:
    operations = jwk.get("key_ops", ["verify"])
    return jwk.get("use", "sig") == "sig" and isinstance(operations, list) and "verify" in operations


def _public_key(jwk: Mapping[str, Any]) -> VerificationKey | None:
    kind = (jwk.get("kty"), jwk.get("crv"))
    try:
        key: VerificationKey
        if kind == ("OKP", "Ed25519"):
            key = _Ed25519Key(jwk)
        elif kind == ("EC", "P-256"):
            key = _P256Key(jwk)
        elif kind == ("RSA", None):
            key = _RSAKey(jwk)
        else:
            return None
    except ValueError:
        return None
    return key if jwk.get("alg", key.algorithm) == key.algorithm else None


def _number(jwk: Mapping[str, Any], name: str) -> int:
    return int.from_bytes(_bytes(jwk, name), "big")


def _bytes(jwk: Mapping[str, Any], name: str) -> bytes:
    text = jwk.get(name)
    if not isinstance(text, str):
        raise ValueError(f"{name} is missing")
    return _jws.decode(text)


class _Ed25519Key:
    """RFC 8037, section 2."""

    algorithm = "EdDSA"

    def __init__(self, jwk: Mapping[str, Any]) -> None:
        from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

        self._key = Ed25519PublicKey.from_public_bytes(_bytes(jwk, "x"))

    def is_good(self, text: bytes, signature: bytes) -> bool:
        return _fits(lambda: self._key.verify(signature, text))


class _P256Key:
    """RFC 7518, sections 3.4 and 6.2.1; that the point is on the curve is checked by the library."""

    algorithm = "ES256"

    def __init__(self, jwk: Mapping[str, Any]) -> None:
        from cryptography.hazmat.primitives.asymmetric import ec

        numbers = ec.EllipticCurvePublicNumbers(_number(jwk, "x"), _number(jwk, "y"), ec.SECP256R1())
        self._key = numbers.public_key()

    def is_good(self, text: bytes, signature: bytes) -> bool:
        from cryptography.hazmat.primitives.asymmetric.ec import ECDSA
        from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature
        from cryptography.hazmat.primitives.hashes import SHA256

        if len(signature) != 64:
            return False
        r, s = int.from_bytes(signature[:32], "big"), int.from_bytes(signature[32:], "big")
        return _fits(lambda: self._key.verify(encode_dss_signature(r, s), text, ECDSA(SHA256())))


class _RSAKey:
    """RFC 7518, sections 3.3 and 6.3.1: 2048 to 8192 bits."""

    algorithm = "RS256"

    def __init__(self, jwk: Mapping[str, Any]) -> None:
        from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicNumbers

        n, e = _number(jwk, "n"), _number(jwk, "e")
        if not 2048 <= n.bit_length() <= 8192 or not 3 <= e < 1 << 32:
            raise ValueError("the size of the key")
        self._key = RSAPublicNumbers(e, n).public_key()

    def is_good(self, text: bytes, signature: bytes) -> bool:
        from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
        from cryptography.hazmat.primitives.hashes import SHA256

        return _fits(lambda: self._key.verify(signature, text, PKCS1v15(), SHA256()))


def _fits(check: Callable[[], None]) -> bool:
    from cryptography.exceptions import InvalidSignature

    try:
        check()
    except InvalidSignature:
        return False
    return True
