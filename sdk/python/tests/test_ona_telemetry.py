"""``client.inverter_telemetry`` and ``client.ooda_terminal``: what is asked, and what is made of the answer."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from stub import Stub, reply

from ona_platform import AuthenticationError, ConfigurationError, ServiceUnavailableError, TimeRange, ValidationError

RANGE = TimeRange("2025-11-01T00:00:00", "2025-11-01T12:00:00")
RECORD = {
    "asset_id": "INV-1",
    "site_id": "Sibaya",
    "timestamp": "2025-11-01T08:10:00+00:00",
    "power": 90.195,
    "kWh": 7.5163,
    "inverter_state": 1,
    "run_state": 1,
}


@pytest.fixture
def client(make_client: Callable[..., Any], stub: Stub) -> Any:
    return make_client(
        inverter_telemetry_endpoint=stub.url + "/prod",
        inverter_telemetry_api_key="k1",
        ooda_terminal_endpoint=stub.url,
        ooda_terminal_api_key="k2",
    )


def test_records_are_asked_for_as_the_platform_expects(client: Any, stub: Stub) -> None:
    stub.replies = [reply(200, {"records": [RECORD | {"PF": 0.99, "soc": None, "more": 1}], "next_cursor": "c2"})]
    records = client.inverter_telemetry.get_inverter_telemetry("INV 1&", "Sibaya", RANGE, "daily", 7, "c1")
    (seen,) = stub.seen
    assert (seen.method, urlsplit(seen.path).path) == ("GET", "/prod/telemetry/inverter")
    assert seen.headers["x-api-key"] == "k1" and "authorization" not in seen.headers
    assert parse_qs(urlsplit(seen.path).query) == {
        "asset_id": ["INV 1&"],
        "site_id": ["Sibaya"],
        "start": [RANGE.start],
        "end": [RANGE.end],
        "resolution": ["daily"],
        "limit": ["7"],
        "cursor": ["c1"],
    }
    (record,) = records
    assert (record.power, record.kWh, record.PF, record.soc) == (90.195, 7.5163, 0.99, None)
    assert records.next_cursor == "c2"


def test_a_first_page_names_no_cursor(client: Any, stub: Stub) -> None:
    stub.replies = [reply(200, {"records": []})]
    records = client.inverter_telemetry.get_inverter_telemetry("INV-1", "Sibaya", RANGE)
    assert "cursor" not in stub.seen[0].path
    assert (records, records.next_cursor) == ([], None)


def test_alerts_are_asked_for_with_their_own_key(client: Any, stub: Stub) -> None:
    stub.replies = [reply(200, {"alerts": [{"id": "a"}]})]
    assert client.ooda_terminal.get_terminal_alerts("T-1", "Sibaya", RANGE) == [{"id": "a"}]
    (seen,) = stub.seen
    assert urlsplit(seen.path).path == "/ooda/terminal"
    assert seen.headers["x-api-key"] == "k2"
    assert parse_qs(urlsplit(seen.path).query)["terminal_device_id"] == ["T-1"]


@pytest.mark.parametrize("member", sorted(RECORD))
@pytest.mark.parametrize("value", ["missing", None])
def test_a_record_that_lacks_a_required_member_is_not_given(
    client: Any, stub: Stub, member: str, value: object
) -> None:
    record = {k: v for k, v in RECORD.items() if k != member} | ({member: None} if value is None else {})
    stub.replies = [reply(200, {"records": [record]})]
    with pytest.raises(ValidationError, match=member):
        client.inverter_telemetry.get_inverter_telemetry("INV-1", "Sibaya", RANGE)


@pytest.mark.parametrize("body", [{}, {"records": None}, {"records": {}}, {"records": [1]}])
def test_an_answer_without_records_is_no_answer(client: Any, stub: Stub, body: Any) -> None:
    stub.replies = [reply(200, body)]
    with pytest.raises(ServiceUnavailableError, match="Invalid response"):
        client.inverter_telemetry.get_inverter_telemetry("INV-1", "Sibaya", RANGE)
    assert len(stub.seen) == 1


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"time_range": TimeRange("2025-11-02T00:00:00", "2025-11-01T00:00:00")}, "after"),
        ({"time_range": TimeRange("2025-11-01T00:00:00", "2025-12-02T00:00:01")}, "31 days"),
        ({"time_range": TimeRange("yesterday", "2025-11-01T00:00:00")}, "time_range.start"),
        ({"time_range": TimeRange("2025-11-01T00:00:00", "")}, "time_range.end"),
        ({"time_range": TimeRange("2025-11-01T00:00:00", None)}, "time_range.end"),  # type: ignore[arg-type]
        ({"limit": 0}, "limit"),
        ({"limit": 1001}, "limit"),
        ({"limit": True}, "limit"),
        ({"limit": "7"}, "limit"),
        ({"resolution": ""}, "resolution"),
        ({"asset_id": ""}, "asset_id"),
        ({"site_id": ""}, "site_id"),
    ],
)
def test_what_the_server_would_refuse_is_not_sent(client: Any, stub: Stub, changes: dict[str, Any], text: str) -> None:
    given = {"asset_id": "INV-1", "site_id": "Sibaya", "time_range": RANGE} | changes
    with pytest.raises(ValidationError, match=text):
        client.inverter_telemetry.get_inverter_telemetry(**given)
    assert stub.seen == []


@pytest.mark.parametrize(
    "span",
    [
        ("2025-11-01T00:00:00", "2025-12-02T00:00:00"),
        ("2025-11-01T00:00:00Z", "2025-11-01T00:00:00"),
        ("2025-11-01T02:00:00+02:00", "2025-11-01T00:00:00Z"),
    ],
)
def test_every_time_range_up_to_31_days_is_sent(client: Any, stub: Stub, span: tuple[str, str]) -> None:
    stub.replies = [reply(200, {"records": []})]
    assert client.inverter_telemetry.get_inverter_telemetry("INV-1", "Sibaya", TimeRange(*span)) == []


@pytest.mark.parametrize("part", ["inverter_telemetry", "ooda_terminal"])
def test_what_is_not_configured_is_told_at_first_use(make_client: Callable[..., Any], part: str, monkeypatch: Any) -> None:
    for name in ("INVERTER_TELEMETRY", "OODA_TERMINAL"):
        monkeypatch.delenv(f"{name}_ENDPOINT", raising=False)
        monkeypatch.delenv(f"{name}_API_KEY", raising=False)
    with pytest.raises(ConfigurationError, match=f"{part}_endpoint is required"):
        getattr(make_client(), part)
    with pytest.raises(ConfigurationError, match="https"):
        getattr(make_client(**{f"{part}_endpoint": "http://t.example", f"{part}_api_key": "k"}), part)
    with pytest.raises(AuthenticationError, match=f"{part}_api_key is required"):
        getattr(make_client(**{f"{part}_endpoint": "https://t.example"}), part)
    with pytest.raises(ValidationError, match="characters"):
        getattr(make_client(**{f"{part}_endpoint": "https://t.example", f"{part}_api_key": "a\r\nb"}), part)
