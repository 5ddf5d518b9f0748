"""What a token says of itself, read without its key."""

from __future__ import annotations

import time
from typing import Any

from keystile._jws import Malformed, read_unverified
from ona_platform.exceptions import AuthenticationError

_USER = ("user_id", "username", "role_id", "customer_ids", "group_id", "skin_id")


def user_of(token: str, now: float | None = None) -> dict[str, Any]:
    """The six claims about the user. Raises AuthenticationError for a token that is expired or no JWT.

    The signature is not checked: the client has no key for it. What these claims
    may do is for the server to decide.
    """
    try:
        claims = read_unverified(token)
    except Malformed as unreadable:
        raise AuthenticationError(f"Invalid token: {unreadable}") from None
    exp = claims.get("exp")
    if isinstance(exp, bool) or not isinstance(exp, int):
        raise AuthenticationError("Invalid token: exp is not a whole number")
    if exp <= (time.time() if now is None else now):
        raise AuthenticationError("Token expired")
    user = {name: claims.get(name) for name in _USER}
    if user["customer_ids"] is None:
        user["customer_ids"] = []
    return user
