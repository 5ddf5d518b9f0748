"""Data that an API key opens: ``client.inverter_telemetry`` and ``client.ooda_terminal``."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import MISSING, dataclass, fields
from datetime import datetime, timedelta, timezone
from typing import Any, TypeVar
from urllib.parse import urlencode

from keystile._http import Request
from ona_platform._calls import USER_AGENT, Call, broken, endpoint_of, required, required_credential
from ona_platform._senders import AsyncSender, Sender
from ona_platform.config import OnaConfig
from ona_platform.exceptions import AuthenticationError, ValidationError

T = TypeVar("T")

MAX_LIMIT = 1000
_MAX_SPAN = timedelta(days=31)


@dataclass(frozen=True)
class TimeRange:
    """ISO 8601 times, UTC where they name no zone. ``start`` is included, ``end`` is not."""

    start: str
    end: str


@dataclass(frozen=True)
class TelemetryRecord:
    """What an inverter did in an interval: ``power`` is its mean in kW, ``kWh`` its energy."""

    asset_id: str
    site_id: str
    timestamp: str
    power: float
    kWh: float
    inverter_state: int
    run_state: int
    asset_ts: str | None = None
    kVArh: float | None = None
    kVA: float | None = None
    PF: float | None = None
    temperature: float | None = None
    soc: float | None = None
    soh: float | None = None
    error_code: str | None = None
    error_type: str | None = None

    @classmethod
    def from_dict(cls, members: dict[str, Any]) -> TelemetryRecord:
        """Takes the members known here. Raises ValidationError if a required one is missing."""
        known = {f.name: members[f.name] for f in fields(cls) if members.get(f.name) is not None}
        for f in fields(cls):
            if f.default is MISSING and f.name not in known:
                raise ValidationError(f"a telemetry record lacks {f.name!r}")
        return cls(**known)


class Records(list[TelemetryRecord]):
    """A list of records. ``next_cursor`` continues it; None at its end, or from a server that does not say."""

    next_cursor: str | None = None


class _Data:
    """An endpoint, its API key, and how its requests are checked and read."""

    def __init__(self, name: str, endpoint: str | None, api_key: str | None) -> None:
        self._endpoint = endpoint_of(f"{name}_endpoint", endpoint)
        if not api_key:
            raise AuthenticationError(f"{name}_api_key is required")
        self._api_key = required_credential(f"{name}_api_key", api_key)

    def __repr__(self) -> str:  # never shows the key
        return f"{type(self).__name__}(endpoint={self._endpoint!r})"

    def _get(self, path: str, query: dict[str, Any], finish: Callable[[dict[str, Any]], T]) -> Call[T]:
        given = {name: value for name, value in query.items() if value is not None}
        headers = {"x-api-key": self._api_key, "Accept": "application/json", "User-Agent": USER_AGENT}
        request = Request("GET", f"{self._endpoint}/{path}?{urlencode(given)}", headers)
        return Call(request, finish, repeatable=True)


def _range_query(time_range: TimeRange, resolution: str, limit: int, cursor: str | None) -> dict[str, Any]:
    start, end = _time("start", time_range.start), _time("end", time_range.end)
    if start > end:
        raise ValidationError("time_range.start is after time_range.end")
    if end - start > _MAX_SPAN:
        raise ValidationError(f"time_range spans more than {_MAX_SPAN.days} days")
    if isinstance(limit, bool) or not isinstance(limit, int) or not 1 <= limit <= MAX_LIMIT:
        raise ValidationError(f"limit is 1 to {MAX_LIMIT}")
    return {
        "start": time_range.start,
        "end": time_range.end,
        "resolution": required("resolution", resolution),
        "limit": limit,
        "cursor": cursor,
    }


def _time(name: str, text: str) -> datetime:
    try:
        time = datetime.fromisoformat(text.replace("Z", "+00:00"))
    except (ValueError, AttributeError, TypeError):
        raise ValidationError(f"time_range.{name} is an ISO 8601 time, as 2025-11-01T00:00:00") from None
    return time.replace(tzinfo=time.tzinfo or timezone.utc)


class _InverterTelemetry(_Data):
    def __init__(self, config: OnaConfig) -> None:
        super().__init__(
            "inverter_telemetry", config.inverter_telemetry_endpoint, config.inverter_telemetry_api_key
        )

    def _inverter(self, asset_id: str, site_id: str, query: dict[str, Any]) -> Call[Records]:
        place = {"asset_id": required("asset_id", asset_id), "site_id": required("site_id", site_id)}
        return self._get("telemetry/inverter", place | query, _records)


def _records(members: dict[str, Any]) -> Records:
    records = Records(TelemetryRecord.from_dict(r) for r in _objects(members, "records"))
    cursor = members.get("next_cursor")
    records.next_cursor = cursor if isinstance(cursor, str) and cursor else None
    return records


def _objects(members: dict[str, Any], name: str) -> list[dict[str, Any]]:
    found = members.get(name)
    if not isinstance(found, list) or not all(isinstance(o, dict) for o in found):
        raise broken(f"{name} is no list of objects")
    return found


class InverterTelemetryClient(_InverterTelemetry):
    """Reads records. A read is sent again when the server cannot answer, not when a limit is reached.

    All raise AuthenticationError for a key that is not good or not for the site,
    RateLimitError, ValidationError, ServiceUnavailableError and TimeoutError.
    """

    def __init__(self, config: OnaConfig, sender: Sender) -> None:
        super().__init__(config)
        self._send = sender

    def get_inverter_telemetry(
        self,
        asset_id: str,
        site_id: str,
        time_range: TimeRange,
        resolution: str = "5min",
        limit: int = 100,
        cursor: str | None = None,
    ) -> Records:
        """Up to ``limit`` (1000) records of one inverter, of at most 31 days, "5min" or "daily"."""
        query = _range_query(time_range, resolution, limit, cursor)
        return self._send(self._inverter(asset_id, site_id, query))


class AsyncInverterTelemetryClient(_InverterTelemetry):
    """InverterTelemetryClient for asyncio."""

    def __init__(self, config: OnaConfig, sender: AsyncSender) -> None:
        super().__init__(config)
        self._send = sender

    async def get_inverter_telemetry(
        self,
        asset_id: str,
        site_id: str,
        time_range: TimeRange,
        resolution: str = "5min",
        limit: int = 100,
        cursor: str | None = None,
    ) -> Records:
        """As InverterTelemetryClient.get_inverter_telemetry."""
        query = _range_query(time_range, resolution, limit, cursor)
        return await self._send(self._inverter(asset_id, site_id, query))


class _OodaTerminal(_Data):
    def __init__(self, config: OnaConfig) -> None:
        super().__init__("ooda_terminal", config.ooda_terminal_endpoint, config.ooda_terminal_api_key)

    def _alerts(self, terminal_device_id: str, site_id: str, query: dict[str, Any]) -> Call[list[dict[str, Any]]]:
        place = {
            "terminal_device_id": required("terminal_device_id", terminal_device_id),
            "site_id": required("site_id", site_id),
        }
        return self._get("ooda/terminal", place | query, lambda members: _objects(members, "alerts"))


class OodaTerminalClient(_OodaTerminal):
    """Reads the alerts of a terminal, as InverterTelemetryClient reads records."""

    def __init__(self, config: OnaConfig, sender: Sender) -> None:
        super().__init__(config)
        self._send = sender

    def get_terminal_alerts(
        self,
        terminal_device_id: str,
        site_id: str,
        time_range: TimeRange,
        resolution: str = "5min",
        limit: int = 100,
        cursor: str | None = None,
    ) -> list[dict[str, Any]]:
        """Up to ``limit`` (1000) alerts of one terminal, with the members the server gives them."""
        query = _range_query(time_range, resolution, limit, cursor)
        return self._send(self._alerts(terminal_device_id, site_id, query))


class AsyncOodaTerminalClient(_OodaTerminal):
    """OodaTerminalClient for asyncio."""

    def __init__(self, config: OnaConfig, sender: AsyncSender) -> None:
        super().__init__(config)
        self._send = sender

    async def get_terminal_alerts(
        self,
        terminal_device_id: str,
        site_id: str,
        time_range: TimeRange,
        resolution: str = "5min",
        limit: int = 100,
        cursor: str | None = None,
    ) -> list[dict[str, Any]]:
        """As OodaTerminalClient.get_terminal_alerts."""
        query = _range_query(time_range, resolution, limit, cursor)
        return await self._send(self._alerts(terminal_device_id, site_id, query))
