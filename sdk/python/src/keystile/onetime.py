"""Requests that are signed for one use, in three forms.

========================  =====================================================
``header()``              base64 JSON, as older clients send it: signs API key,
                          nonce and time
``jwt()``                 a JWT that lives 30 seconds: signs its claims
``sign_request(...)``     an HTTP message signature (RFC 9421) with a content
                          digest (RFC 9530): signs method, URL and body too
========================  =====================================================

The first two sign nothing of the request: whoever sees one on its way can put it
in front of another request, once, before it arrives.

The server accepts each signature once, so sign again for every request and for
every retry, also after an answer that was lost.
"""

from __future__ import annotations

import base64
import hashlib
import json
import os
import re
import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any
from urllib.parse import SplitResult, urlsplit

from keystile._keys import Algorithm, SignError, make_key

if TYPE_CHECKING:
    from keystile._keys import PrivateKey

# The algorithms in the registry of RFC 9421, section 6.2.2.
_MESSAGE_ALGORITHMS = {
    "HS256": "hmac-sha256",
    "RS256": "rsa-v1_5-sha256",
    "ES256": "ecdsa-p256-sha256",
    "EdDSA": "ed25519",
}
_JWT_SECONDS = 30
_MAX_BODY = 64 << 10  # bytes; a server checks no digest of a larger body
_LABEL = "sig1"
_DEFAULT_PORTS = {"http": 80, "https": 443}
_URL_CHARACTERS = re.compile(r"[A-Za-z0-9\-._~:/?#\[\]@!$&'()*+,;=%]+")
_REPLACED_FIELDS = ("content-digest", "signature", "signature-input")


class OneTimeSigner:
    """Signs for one signing key of an organisation. Safe for use by several threads.

    ``organization`` is the organisation's id, ``api_key`` the public name of the
    signing key, ``algorithm`` the one the server has on record for it. HS256
    takes ``secret``: the bytes of its text are the key, a newline at its end
    included. RS256 (2048 to 8192 bits), ES256 and EdDSA (Ed25519) take
    ``private_key``: unencrypted PEM, or a key object of ``cryptography``.

    In every method ``nonce`` is 16 to 128 printable ASCII characters without
    space, and ``now`` is in seconds since 1970. Leave both out: a nonce is then
    made of the system's random numbers, and the time is the clock's. With both
    given the result is always the same, except for ES256, whose signatures hold
    a random number.

    Raises SignError for anything that cannot be used.
    """

    def __init__(
        self,
        *,
        organization: str,
        api_key: str,
        algorithm: Algorithm,
        secret: str | bytes | None = None,
        private_key: str | bytes | PrivateKey | None = None,
    ) -> None:
        self._organization = _visible("organization", organization)
        self._api_key = _visible("api_key", api_key)
        self._key = make_key(algorithm, secret, private_key)
        self._algorithm = algorithm

    def __repr__(self) -> str:  # never shows the secret
        return (
            f"OneTimeSigner(organization={self._organization!r}, "
            f"api_key={self._api_key!r}, algorithm={self._algorithm!r})"
        )

    def header(self, *, nonce: str | None = None, now: int | None = None) -> str:
        """The value of an Authorization field in the header form, "Bearer " and base64 JSON.

        It signs API key, nonce and time; nothing of the request.
        """
        now = _seconds(now)
        nonce = _nonce(nonce, os.urandom(16))
        signature = self._key.sign(f"{self._api_key}{nonce}{now}".encode("ascii"))
        fields = {
            "organization": self._organization,
            "apiKey": self._api_key,
            "nonce": nonce,
            "timestamp": now,
            "accessToken": signature.hex(),
        }
        return "Bearer " + _base64(_json(fields))

    def jwt(self, *, nonce: str | None = None, now: int | None = None) -> str:
        """The value of an Authorization field in the JWT form (RFC 7519), good for 30 seconds.

        It signs nothing of the request. A nonce made here ends with the time, 8
        bytes in hexadecimal: servers of the platform check it in one of 64 digits.
        """
        now = _seconds(now)
        nonce = _nonce(nonce, os.urandom(24) + now.to_bytes(8, "big"))
        claims = {
            "aud": self._organization,
            "apiKey": self._api_key,
            "nonce": nonce,
            "iat": now,
            "exp": now + _JWT_SECONDS,
        }
        text = _base64url(_json({"alg": self._algorithm})) + "." + _base64url(_json(claims))
        return f"Bearer {text}.{_base64url(self._key.sign(text.encode('ascii')))}"

    def sign_request(
        self,
        method: str,
        url: str,
        headers: Mapping[str, str] | None = None,
        body: bytes | None = None,
        *,
        nonce: str | None = None,
        now: int | None = None,
    ) -> dict[str, str]:
        """The header fields of a request with an HTTP message signature (RFC 9421).

        They are ``headers`` with Signature-Input and Signature, and Content-Digest
        (RFC 9530) if there is a body; an earlier signature in them is replaced.
        Signed are the method, the whole URL without its fragment, and the body of
        at most 64 KiB.

        Send exactly this method, URL and body, and compress nothing: a request
        that was changed is refused. The host is signed as HTTP libraries send it,
        in lower case and without the scheme's usual port; if yours sends another,
        give it as ``Host`` in ``headers``. Some libraries rewrite a URL, as %7E into
        ~ or %c3 into %C3: sign what they send, with ``requests`` the ``url`` of the
        prepared request.
        """
        now = _seconds(now)
        nonce = _nonce(nonce, os.urandom(16))
        signed = {k: v for k, v in (headers or {}).items() if k.lower() not in _REPLACED_FIELDS}
        hosts = [v for k, v in signed.items() if k.lower() == "host"]
        components = {
            "@method": _method(method),
            "@target-uri": _target_uri(url, hosts[0] if hosts else None),
        }
        digest = _content_digest(body)
        if digest:
            components["content-digest"] = signed["Content-Digest"] = digest
        base, parameters = self._signature_base(components, nonce, now)
        signed["Signature-Input"] = f"{_LABEL}={parameters}"
        signed["Signature"] = f"{_LABEL}=:{_base64(self._key.sign(base.encode('ascii')))}:"
        return signed

    def _signature_base(self, components: Mapping[str, str], nonce: str, now: int) -> tuple[str, str]:
        """The text that is signed (RFC 9421, section 2.5), and the value of its last line."""
        names = " ".join(_quoted(name) for name in components)
        parameters = (
            f"({names});created={now};nonce={_quoted(nonce)}"
            f";alg={_quoted(_MESSAGE_ALGORITHMS[self._algorithm])};keyid={_quoted(self._api_key)}"
        )
        lines = [f"{_quoted(name)}: {value}" for name, value in components.items()]
        return "\n".join([*lines, f'"@signature-params": {parameters}']), parameters


def _is_visible(text: str) -> bool:
    """Whether text is one or more printable ASCII characters without space."""
    return text != "" and all("!" <= c <= "~" for c in text)


def _visible(name: str, text: Any) -> str:
    if not isinstance(text, str) or not _is_visible(text):
        raise SignError(f"{name} is printable ASCII without space, and not empty")
    return text


def _nonce(given: str | None, fresh: bytes) -> str:
    nonce = fresh.hex() if given is None else given
    if not isinstance(nonce, str) or not 16 <= len(nonce) <= 128 or not _is_visible(nonce):
        raise SignError("nonce is 16 to 128 printable ASCII characters without space")
    return nonce


def _seconds(now: int | None) -> int:
    if now is None:
        return int(time.time())
    # A fraction or text would be signed as other digits than the server reads.
    if isinstance(now, bool) or not isinstance(now, int) or not 0 <= now < 1 << 53:
        raise SignError("now is whole seconds since 1970, an int")
    return now


def _method(method: str) -> str:
    # Methods are case-sensitive (RFC 9110, section 9.1), and some libraries raise
    # them to capitals behind the caller's back: then the signature would not fit.
    if not isinstance(method, str) or not (method.isascii() and method.isalpha() and method.isupper()):
        raise SignError(f"method is written in capital letters, as GET; got {method!r}")
    return method


def _target_uri(url: str, host: str | None) -> str:
    """The URL as it goes over the wire: the Host field, and path and query of the request line."""
    # HTTP libraries percent-encode whatever else they find: then the signature would not fit.
    if not isinstance(url, str) or not _URL_CHARACTERS.fullmatch(url):
        raise SignError("url has characters that no URL has (RFC 3986); percent-encode them first")
    try:
        parts = urlsplit(url)
        if host is None:
            host = _host(parts)
    except ValueError as unreadable:
        raise SignError(f"url cannot be read: {unreadable}") from unreadable
    if parts.scheme not in _DEFAULT_PORTS or not parts.hostname:
        raise SignError("url is absolute and begins with http:// or https://")
    if "@" in parts.netloc:
        raise SignError("url has a user name; leave it out")
    # A question mark with nothing behind it is not told apart from none at all.
    query = f"?{parts.query}" if parts.query else ""
    return f"{parts.scheme}://{_visible('Host', host)}{parts.path or '/'}{query}"


def _host(parts: SplitResult) -> str:
    host = parts.netloc.lower()
    if parts.port is None or parts.port == _DEFAULT_PORTS.get(parts.scheme):
        return host[: host.rindex(":")] if _has_port(host) else host
    return host


def _has_port(host: str) -> bool:
    """Whether a colon stands behind the name, or behind the bracket of an IPv6 address."""
    return ":" in host.rpartition("]")[2]


def _content_digest(body: bytes | None) -> str:
    """The Content-Digest field of a body, or "" if there is none."""
    if body is None:
        return ""
    if not isinstance(body, (bytes, bytearray)):
        raise SignError(f"body is bytes, not {type(body).__name__}: encode it, and send those bytes")
    if len(body) > _MAX_BODY:
        raise SignError(f"a signed body has at most {_MAX_BODY} bytes; this has {len(body)}")
    if not body:
        return ""
    return f"sha-256=:{_base64(hashlib.sha256(body).digest())}:"


def _quoted(text: str) -> str:
    """A string of structured fields (RFC 9651, section 4.1.6)."""
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


def _json(value: Mapping[str, object]) -> bytes:
    """JSON without spaces and in the order given, as clients of the platform write it."""
    return json.dumps(value, separators=(",", ":")).encode("ascii")


def _base64(data: bytes) -> str:
    return base64.b64encode(data).decode("ascii")


def _base64url(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode("ascii")
