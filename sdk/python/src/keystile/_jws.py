"""Reads the compact form of a signed JWT (RFC 7515, section 3.1; RFC 7519), without judging it."""

from __future__ import annotations

import base64
import binascii
import re
from dataclasses import dataclass, field
from typing import Any

from keystile._strictjson import loads_object

MAX_TOKEN = 8 << 10  # characters
_TOKEN = re.compile(r"([A-Za-z0-9_-]+)\.([A-Za-z0-9_-]+)\.([A-Za-z0-9_-]+)")


class Malformed(ValueError):
    """The text is no signed JWT. What it says never holds the text itself."""


@dataclass(frozen=True)
class SignedJWT:
    """``text`` is what ``signature`` is over. Nothing in it is to be believed yet."""

    header: dict[str, Any] = field(repr=False)
    claims: dict[str, Any] = field(repr=False)
    text: bytes = field(repr=False)
    signature: bytes = field(repr=False)


def read(token: object) -> SignedJWT:
    """Raises Malformed unless the text is three parts in base64url, the first two JSON objects."""
    if not isinstance(token, str) or len(token) > MAX_TOKEN:
        raise Malformed(f"not a text of at most {MAX_TOKEN} characters")
    parts = _TOKEN.fullmatch(token)
    if not parts:
        raise Malformed("not three parts in base64url")
    header, claims, signature = parts.groups()
    return SignedJWT(_object(header), _object(claims), token.rpartition(".")[0].encode("ascii"), decode(signature))


def read_unverified(token: object) -> dict[str, Any]:
    """The claims of a JWT whose signature nobody checked. Raises Malformed."""
    return read(token).claims


def decode(text: str) -> bytes:
    """Decodes base64url without padding (RFC 7515, section 2). Raises Malformed.

    Each value has one spelling: bits left over are zero, so that a token cannot be
    changed without changing what it says.
    """
    try:
        data = base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
    except (binascii.Error, ValueError):
        raise Malformed("not base64url") from None
    if base64.urlsafe_b64encode(data).rstrip(b"=").decode("ascii") != text:
        raise Malformed("not base64url as it is written")
    return data


def _object(part: str) -> dict[str, Any]:
    try:
        return loads_object(decode(part), MAX_TOKEN)
    except Malformed:
        raise
    except ValueError:
        # Without the cause: a JSON parser's error holds what it read.
        raise Malformed("a part is no JSON object") from None
