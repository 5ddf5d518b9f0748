"""A client of Ona's platform in the shape of its own SDK, for a Keystile server.

    from ona_platform import OnaClient

    client = OnaClient(auth_endpoint="https://auth.example.com/prod")
    client.auth.login("user@example.com", "password")

It speaks HTTPS with JSON and needs the standard library only.
"""

from ona_platform.auth import (
    APIKeyInfo,
    APIKeyValidation,
    AsyncAuthClient,
    AuthClient,
    CurrentUser,
    LoginResult,
    RefreshResult,
)
from ona_platform.client import AsyncOnaClient, OnaClient
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
from ona_platform.telemetry import (
    AsyncInverterTelemetryClient,
    AsyncOodaTerminalClient,
    InverterTelemetryClient,
    OodaTerminalClient,
    Records,
    TelemetryRecord,
    TimeRange,
)

__all__ = [
    "APIKeyInfo",
    "APIKeyValidation",
    "AsyncAuthClient",
    "AsyncInverterTelemetryClient",
    "AsyncOnaClient",
    "AsyncOodaTerminalClient",
    "AuthClient",
    "AuthenticationError",
    "ConfigurationError",
    "CurrentUser",
    "InverterTelemetryClient",
    "LoginResult",
    "OnaClient",
    "OnaConfig",
    "OnaError",
    "OodaTerminalClient",
    "RateLimitError",
    "Records",
    "RefreshResult",
    "ResourceNotFoundError",
    "ServiceUnavailableError",
    "TelemetryRecord",
    "TimeRange",
    "TimeoutError",
    "ValidationError",
]
