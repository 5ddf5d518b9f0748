"""The clients. Their parts are made at first use, so that only what is used must be configured."""

from __future__ import annotations

from dataclasses import replace
from functools import cached_property
from importlib.util import find_spec
from types import TracebackType

from ona_platform._senders import AsyncSender, Sender
from ona_platform.auth import AsyncAuthClient, AuthClient
from ona_platform.config import OnaConfig
from ona_platform.exceptions import ConfigurationError
from ona_platform.telemetry import (
    AsyncInverterTelemetryClient,
    AsyncOodaTerminalClient,
    InverterTelemetryClient,
    OodaTerminalClient,
)


def _configured(config: OnaConfig | None, given: dict[str, str | float | None]) -> OnaConfig:
    """What is given wins over ``config``, or over the environment if there is none."""
    chosen = {name: value for name, value in given.items() if value is not None}
    return replace(OnaConfig.from_env() if config is None else config, **chosen)  # type: ignore[arg-type]


class OnaClient:
    """Logins and tokens (``auth``) and data (``inverter_telemetry``, ``ooda_terminal``).

    What is not given comes from ``config``, or without one from the environment: see
    OnaConfig. One client holds the token of one user; the parts that use an API key
    may be shared by threads.
    """

    def __init__(
        self,
        config: OnaConfig | None = None,
        *,
        auth_endpoint: str | None = None,
        inverter_telemetry_endpoint: str | None = None,
        inverter_telemetry_api_key: str | None = None,
        ooda_terminal_endpoint: str | None = None,
        ooda_terminal_api_key: str | None = None,
        timeout: float | None = None,
        max_retries: int | None = None,
    ) -> None:
        """Raises ConfigurationError for a setting that is wrong; one that is missing is told at first use."""
        given = {name: value for name, value in locals().items() if name not in ("self", "config")}
        self.config = _configured(config, given)
        self._sender = Sender(self.config)

    @cached_property
    def auth(self) -> AuthClient:
        """Logins, tokens and API keys. Raises ConfigurationError without ``auth_endpoint``."""
        return AuthClient(self.config, self._sender)

    @cached_property
    def inverter_telemetry(self) -> InverterTelemetryClient:
        """Records of inverters. Raises ConfigurationError without endpoint, AuthenticationError without key."""
        return InverterTelemetryClient(self.config, self._sender)

    @cached_property
    def ooda_terminal(self) -> OodaTerminalClient:
        """Alerts of terminals. Raises ConfigurationError without endpoint, AuthenticationError without key."""
        return OodaTerminalClient(self.config, self._sender)


class AsyncOnaClient:
    """OnaClient for asyncio: its calls are awaited. It needs httpx, ``keystile[async]``.

    Use it in ``async with``, or call ``aclose`` at the end.
    """

    def __init__(
        self,
        config: OnaConfig | None = None,
        *,
        auth_endpoint: str | None = None,
        inverter_telemetry_endpoint: str | None = None,
        inverter_telemetry_api_key: str | None = None,
        ooda_terminal_endpoint: str | None = None,
        ooda_terminal_api_key: str | None = None,
        timeout: float | None = None,
        max_retries: int | None = None,
    ) -> None:
        """Raises ConfigurationError for a setting that is wrong, and where httpx is missing."""
        given = {name: value for name, value in locals().items() if name not in ("self", "config")}
        if find_spec("httpx") is None:
            raise ConfigurationError("AsyncOnaClient needs the package httpx: pip install 'keystile[async]'")
        self.config = _configured(config, given)
        self._sender = AsyncSender(self.config)

    @cached_property
    def auth(self) -> AsyncAuthClient:
        """As OnaClient.auth."""
        return AsyncAuthClient(self.config, self._sender)

    @cached_property
    def inverter_telemetry(self) -> AsyncInverterTelemetryClient:
        """As OnaClient.inverter_telemetry."""
        return AsyncInverterTelemetryClient(self.config, self._sender)

    @cached_property
    def ooda_terminal(self) -> AsyncOodaTerminalClient:
        """As OnaClient.ooda_terminal."""
        return AsyncOodaTerminalClient(self.config, self._sender)

    async def aclose(self) -> None:
        """Closes the connections."""
        await self._sender.aclose()

    async def __aenter__(self) -> AsyncOnaClient:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()
