"""What goes to the server and what its answer means, without sending anything.

The synchronous and the asynchronous client differ in how a request is sent, and in
nothing else.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from keystile._http import Answer, Limits, Request, TimedOut, Unreachable, check_endpoint
from keystile._strictjson import loads_object
from ona_platform.config import OnaConfig
from ona_platform.exceptions import (
    AuthenticationError,
    ConfigurationError,
    OnaError,
    RateLimitError,
    ResourceNotFoundError,
    ServiceUnavailableError,
    TimeoutError,
    ValidationError,
)

T = TypeVar("T")

MAX_ANSWER = 16 << 20  # bytes; a thousand records are a tenth of it
_MAX_TEXT = 300  # characters of an error text
USER_AGENT = "keystile-python/0.1.0"

_TEXTS = {
    400: "Invalid request",
    401: "Unauthorized",
    403: "Access denied",
    404: "Not found",
    429: "Too many requests",
}


@dataclass(frozen=True)
class Call(Generic[T]):
    """A request, and what becomes of the members of a good answer."""

    request: Request
    finish: Callable[[dict[str, Any]], T]
    repeatable: bool = False
    """Whether it may be sent again without harm. Nothing that counts attempts or spends something may."""


def limits_of(config: OnaConfig) -> Limits:
    return Limits(config.timeout, MAX_ANSWER)


def endpoint_of(name: str, endpoint: str | None) -> str:
    """The endpoint without slashes at its end. Raises ConfigurationError."""
    if not endpoint:
        raise ConfigurationError(f"{name} is required")
    try:
        return check_endpoint(name, endpoint)
    except ValueError as wrong:
        raise ConfigurationError(str(wrong)) from None


def required(name: str, value: object) -> str:
    """A text that is not empty. Raises ValidationError."""
    if not isinstance(value, str) or not value:
        raise ValidationError(f"{name} is required")
    return value


def required_credential(name: str, value: object) -> str:
    """A text that can stand in a header field. Raises ValidationError, which does not show it."""
    text = required(name, value)
    if not all("!" <= c <= "~" for c in text):
        raise ValidationError(f"{name} has characters that no credential has")
    return text


def members_of(answer: Answer) -> dict[str, Any]:
    """The members of a good answer. Raises what any other one means."""
    if not 200 <= answer.status < 300:
        raise _error_of(answer)
    try:
        return loads_object(answer.body, MAX_ANSWER)
    except ValueError as unreadable:
        raise broken(f"not a JSON object ({unreadable})", answer.status) from None


def broken(why: str, status: int = 200) -> ServiceUnavailableError:
    """What a good status with a bad body means. Asking again would not change it."""
    return ServiceUnavailableError(f"Invalid response from service: {why}", status=status)


def error_of_failure(failure: Unreachable) -> OnaError:
    if isinstance(failure, TimedOut):
        return TimeoutError(f"Request timed out: {failure}")
    return ServiceUnavailableError(f"Service unavailable: {failure}")


def is_passing(error: OnaError) -> bool:
    """Whether the same request may be answered a little later."""
    if isinstance(error, ServiceUnavailableError):
        return error.status is None or error.status >= 500
    return isinstance(error, TimeoutError)


def _error_of(answer: Answer) -> OnaError:
    status, text = answer.status, _text_of(answer)
    if status in (401, 403):
        return AuthenticationError(text, status=status)
    if status == 404:
        return ResourceNotFoundError(text, status=status)
    if status == 429:
        return RateLimitError(text, status=status, retry_after=_seconds(answer.headers))
    if 400 <= status < 500:
        return ValidationError(text, status=status)
    return ServiceUnavailableError(text, status=status, retry_after=_seconds(answer.headers))


def _text_of(answer: Answer) -> str:
    """The server's own text, ``{"error": "text"}``, without what could confuse a log or a terminal."""
    otherwise = _TEXTS.get(answer.status, f"Service unavailable (HTTP {answer.status})")
    try:
        text = loads_object(answer.body, MAX_ANSWER).get("error")
    except ValueError:
        return otherwise
    if not isinstance(text, str):
        return otherwise
    return "".join(c for c in text if c.isprintable())[:_MAX_TEXT] or otherwise


def _seconds(headers: Mapping[str, str]) -> int | None:
    """Retry-After in seconds (RFC 9110, section 10.2.3); its form with a date is not read."""
    value = headers.get("retry-after", "").strip()
    return int(value) if value.isascii() and value.isdigit() and len(value) < 10 else None
