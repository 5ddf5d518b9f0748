"""Checks the session tokens (JWT, RFC 7519) that a Keystile server hands out, without asking it each time.

A token that is good here may be one whose session was ended a moment ago: a server
that must know asks Keystile (``/v1/decisions``), or stands behind its gateway.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from keystile import _jws
from keystile._http import Connection, Limits, check_endpoint
from keystile._jwks import MAX_KEY_SET, KeySource, KeysUnavailable, RemoteKeySet, SharedSecret

__all__ = ["KeysUnavailable", "SessionRejected", "SessionToken", "SessionVerifier"]

_FETCH_SECONDS = 5
_CLOCK_SKEW = 60  # seconds that the server's clock may be ahead of ours
# What no token of ours has in its header: its own key or where to get one, a demand to
# understand more, another encoding of the payload (RFC 7515, section 4.1; RFC 7797).
_NEVER_IN_A_HEADER = ("jwk", "jku", "x5c", "x5u", "crit", "b64", "zip", "enc")


class SessionRejected(Exception):
    """The token is not accepted.

    ``reason`` is for a log, not for who sent it: malformed, algorithm, unknown_key,
    signature, expired, not_yet_valid, issuer, audience or not_a_session.
    """

    def __init__(self, reason: str) -> None:
        super().__init__(f"the session token is not accepted: {reason}")
        self.reason = reason


@dataclass(frozen=True)
class SessionToken:
    """A token that was checked.

    ``subject`` is the user's id (``sub``, or ``user_id`` in Ona's dialect), ``session_id``
    the session's (``sid``), ``expires_at`` seconds since 1970, ``claims`` all of them.
    """

    subject: str
    session_id: str
    expires_at: int
    claims: Mapping[str, Any] = field(repr=False)


class SessionVerifier:
    """Says whose session a token is of. Safe for use by several threads.

    Give either

    ``jwks_url`` and ``issuer``
        the server's public keys, ``https://…/.well-known/jwks.json``, and its public
        URL, which ``iss`` must be; needs the package cryptography, ``keystile[crypto]``.
        Tokens are then EdDSA, ES256 or RS256, as each key says. Or
    ``secret``
        the HS256 secret of Ona's dialect, at least 32 bytes. Who knows it can also make
        tokens: where that must not be, use ``jwks_url`` or ask the server.

    ``audience`` is what ``aud`` must be or hold: if it is not given, the issuer, for whom
    the server makes the tokens of its sessions. A token that is made for somebody else
    is refused (RFC 7519, section 4.1.3). Tokens of Ona's dialect have neither ``iss``
    nor ``aud``, unless the server's configuration says so.

    Raises ValueError for wrong arguments and ImportError where cryptography is missing.
    """

    def __init__(
        self,
        *,
        jwks_url: str | None = None,
        secret: str | bytes | None = None,
        issuer: str | None = None,
        audience: str | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        if (jwks_url is None) == (secret is None):
            raise ValueError("give jwks_url or secret, one of them")
        if issuer == "" or audience == "":
            raise ValueError("issuer and audience are not empty")
        if jwks_url is not None and issuer is None:
            raise ValueError("issuer is missing: the server's public URL")
        self._keys = _key_set(jwks_url) if jwks_url is not None else _shared(secret)
        self._issuer = issuer
        self._audience = issuer if audience is None else audience
        self._clock = clock

    def verify(self, token: str) -> SessionToken:
        """Raises SessionRejected, and KeysUnavailable where the server's keys cannot be had.

        Now and then it fetches those keys, which takes up to five seconds.
        """
        return self._verify(token, fetch=True)

    def _verify(self, token: str, *, fetch: bool) -> SessionToken:
        try:
            jwt = _jws.read(token)
        except _jws.Malformed:
            raise SessionRejected("malformed") from None
        _check_header(jwt.header)
        key = self._keys.find(jwt.header.get("kid"), fetch=fetch)
        if key is None:
            raise SessionRejected("unknown_key")
        if jwt.header.get("alg") != key.algorithm:
            raise SessionRejected("algorithm")
        if not key.is_good(jwt.text, jwt.signature):
            raise SessionRejected("signature")
        self._check_times(jwt.claims)
        self._check_parties(jwt.claims)
        return _session(jwt.claims)

    def _check_times(self, claims: Mapping[str, Any]) -> None:
        now = self._clock()
        # No leeway: the server and its clients have none either.
        if _seconds(claims, "exp") <= now:
            raise SessionRejected("expired")
        for name in ("iat", "nbf"):
            if name in claims and _seconds(claims, name) > now + _CLOCK_SKEW:
                raise SessionRejected("not_yet_valid")

    def _check_parties(self, claims: Mapping[str, Any]) -> None:
        if self._issuer is not None and claims.get("iss") != self._issuer:
            raise SessionRejected("issuer")
        audience = claims.get("aud")
        if self._audience is None:
            meant = audience is None
        else:
            meant = self._audience in (audience if isinstance(audience, list) else [audience])
        if not meant:
            raise SessionRejected("audience")


def _key_set(url: str) -> KeySource:
    return RemoteKeySet(check_endpoint("jwks_url", url), Connection(Limits(_FETCH_SECONDS, MAX_KEY_SET)))


def _shared(secret: str | bytes | None) -> KeySource:
    if secret is None:
        raise ValueError("secret is missing")
    return SharedSecret(secret)


def _check_header(header: Mapping[str, Any]) -> None:
    if any(name in header for name in _NEVER_IN_A_HEADER):
        raise SessionRejected("malformed")
    # Other kinds of JWT say so in typ, and may be signed by the same key (RFC 8725, section 3.11).
    kind = header.get("typ", "JWT")
    if not isinstance(kind, str) or kind.lower() not in ("jwt", "application/jwt"):
        raise SessionRejected("not_a_session")


def _seconds(claims: Mapping[str, Any], name: str) -> int:
    value = claims.get(name)
    if isinstance(value, bool) or not isinstance(value, int):
        raise SessionRejected("malformed")
    return value


def _session(claims: Mapping[str, Any]) -> SessionToken:
    """A session's token has ``sid``, and does not name the credential it stands for, as an assertion does."""
    subject, session_id = claims.get("sub", claims.get("user_id")), claims.get("sid")
    if not isinstance(subject, str) or not isinstance(session_id, str) or not subject or not session_id:
        raise SessionRejected("not_a_session")
    if "credential" in claims:
        raise SessionRejected("not_a_session")
    return SessionToken(subject, session_id, _seconds(claims, "exp"), claims)
