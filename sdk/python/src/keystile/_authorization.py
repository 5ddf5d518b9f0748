"""What both kinds of middleware share: the token in the request, and the answer to a refused one."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass

from keystile._jwks import REFETCH_SECONDS, KeysUnavailable
from keystile.session import SessionRejected

KEY = "keystile.session"


def token_of(fields: Sequence[str]) -> str | None:
    """The token in the Authorization fields, None if there are none.

    It stands behind ``Bearer`` (RFC 6750, section 2.1), or alone, as clients of NAO send
    it. Raises SessionRejected for anything else: who sends a credential that cannot be
    read is not a stranger who sends none.
    """
    if not fields:
        return None
    scheme, _, token = fields[0].strip().rpartition(" ")
    if len(fields) > 1 or not token or scheme.strip().lower() not in ("", "bearer"):
        raise SessionRejected("malformed")
    return token


@dataclass(frozen=True)
class Refusal:
    """An answer with problem details (RFC 9457). It says no more than that."""

    status: int
    title: str
    headers: tuple[tuple[str, str], ...]

    @property
    def body(self) -> bytes:
        return json.dumps({"type": "about:blank", "title": self.title, "status": self.status}).encode("ascii")

    @property
    def all_headers(self) -> list[tuple[str, str]]:
        return [
            ("Content-Type", "application/problem+json"),
            ("Content-Length", str(len(self.body))),
            ("Cache-Control", "no-store"),
            *self.headers,
        ]


MISSING = Refusal(401, "Unauthorized", (("WWW-Authenticate", "Bearer"),))
_REJECTED = Refusal(401, "Unauthorized", (("WWW-Authenticate", 'Bearer error="invalid_token"'),))
_UNAVAILABLE = Refusal(503, "Service Unavailable", (("Retry-After", str(REFETCH_SECONDS)),))


def refusal_of(error: SessionRejected | KeysUnavailable) -> Refusal:
    return _REJECTED if isinstance(error, SessionRejected) else _UNAVAILABLE
