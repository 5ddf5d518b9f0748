"""JSON from outside: within a size, without duplicate members, and never an exception but ValueError."""

from __future__ import annotations

import json
from typing import Any, NoReturn


def loads_object(data: bytes, limit: int) -> dict[str, Any]:
    """Reads a JSON object (RFC 8259) of at most ``limit`` bytes. It raises ValueError for everything else.

    A member that is there twice is refused: two readers could take different ones.
    """
    if len(data) > limit:
        raise ValueError(f"more than {limit} bytes")
    try:
        value = json.loads(
            data.decode("utf-8"), object_pairs_hook=_without_duplicates, parse_constant=_no_number
        )
    except RecursionError:
        raise ValueError("nested too deeply") from None
    if not isinstance(value, dict):
        raise ValueError("not a JSON object")
    return value


def _without_duplicates(members: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(members)
    if len(found) != len(members):
        raise ValueError("a member is there twice")
    return found


def _no_number(constant: str) -> NoReturn:
    raise ValueError(f"{constant} is not JSON")
