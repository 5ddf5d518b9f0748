"""Settings of the clients, from arguments and from environment variables."""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TypeVar

from ona_platform.exceptions import ConfigurationError

N = TypeVar("N", int, float)


@dataclass
class OnaConfig:
    """An endpoint is https, or http on this machine. Keys are not printed."""

    auth_endpoint: str | None = None
    """``ONA_AUTH_ENDPOINT``: the base under which ``/api/auth/…`` lies."""
    inverter_telemetry_endpoint: str | None = None
    """``INVERTER_TELEMETRY_ENDPOINT``: the base under which ``/telemetry/…`` lies."""
    inverter_telemetry_api_key: str | None = field(default=None, repr=False)
    """``INVERTER_TELEMETRY_API_KEY``"""
    ooda_terminal_endpoint: str | None = None
    """``OODA_TERMINAL_ENDPOINT``: the base under which ``/ooda/…`` lies."""
    ooda_terminal_api_key: str | None = field(default=None, repr=False)
    """``OODA_TERMINAL_API_KEY``"""
    timeout: float = 120
    """``ONA_TIMEOUT``: seconds to wait for the server."""
    max_retries: int = 3
    """``ONA_MAX_RETRIES``: how often a read of data is sent again when the server cannot answer. Logins never are."""
    retry_backoff: float = 2.0
    """``ONA_RETRY_BACKOFF``: the pauses between them are its powers in seconds, 1, 2, 4."""

    def __post_init__(self) -> None:
        if not (math.isfinite(self.timeout) and self.timeout > 0):
            raise ConfigurationError("timeout is a number of seconds above 0")
        if self.max_retries < 0:
            raise ConfigurationError("max_retries is 0 or more")
        if not (math.isfinite(self.retry_backoff) and self.retry_backoff >= 0):
            raise ConfigurationError("retry_backoff is a number of seconds, 0 or more")

    @classmethod
    def from_env(cls, environment: Mapping[str, str] | None = None) -> OnaConfig:
        """Reads the variables named at each member. A variable that is empty is one that is not set."""
        found = os.environ if environment is None else environment

        def get(name: str) -> str | None:
            return found.get(name) or None

        return cls(
            auth_endpoint=get("ONA_AUTH_ENDPOINT"),
            inverter_telemetry_endpoint=get("INVERTER_TELEMETRY_ENDPOINT"),
            inverter_telemetry_api_key=get("INVERTER_TELEMETRY_API_KEY"),
            ooda_terminal_endpoint=get("OODA_TERMINAL_ENDPOINT"),
            ooda_terminal_api_key=get("OODA_TERMINAL_API_KEY"),
            timeout=_number(found, "ONA_TIMEOUT", float, cls.timeout),
            max_retries=_number(found, "ONA_MAX_RETRIES", int, cls.max_retries),
            retry_backoff=_number(found, "ONA_RETRY_BACKOFF", float, cls.retry_backoff),
        )


def _number(environment: Mapping[str, str], name: str, read: Callable[[str], N], otherwise: N) -> N:
    text = environment.get(name)
    if not text:
        return otherwise
    try:
        return read(text)
    except ValueError:
        raise ConfigurationError(f"{name} is a number, not {text!r}") from None
