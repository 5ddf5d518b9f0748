"""What can go wrong. Each text is the server's own where it sent one, and never holds a credential."""

from __future__ import annotations


class OnaError(Exception):
    """The base of all.

    ``status`` is the HTTP status that was answered, None if the error arose here.
    """

    def __init__(self, message: str, *, status: int | None = None) -> None:
        super().__init__(message)
        self.status = status


class ConfigurationError(OnaError):
    """An endpoint or setting is missing or wrong. Nothing was sent."""


class ValidationError(OnaError):
    """An argument is missing or wrong: found here before anything was sent, or by the server (400)."""


class AuthenticationError(OnaError):
    """A credential is missing, wrong or expired (401), or does not allow this (403)."""


class ResourceNotFoundError(OnaError):
    """There is nothing at this address (404)."""


class _TryLaterError(OnaError):
    """``retry_after`` is how many seconds the server asks to wait, None if it does not say."""

    def __init__(self, message: str, *, status: int | None = None, retry_after: int | None = None) -> None:
        super().__init__(message, status=status)
        self.retry_after = retry_after


class RateLimitError(_TryLaterError):
    """Too many requests, or too many wrong passwords or codes (429)."""


class ServiceUnavailableError(_TryLaterError):
    """The server cannot be reached, cannot answer (5xx), or answered what nobody understands."""


class TimeoutError(OnaError):
    """There was no answer in time. Whether the server did what was asked is not known."""
