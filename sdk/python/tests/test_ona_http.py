"""How requests travel: where they may go, how much is read, how often they are sent."""

from __future__ import annotations

import socket
import ssl
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from stub import Reply, Stub, reply, serving

from keystile import _http
from ona_platform import (
    ConfigurationError,
    OnaClient,
    OnaConfig,
    RateLimitError,
    ServiceUnavailableError,
    TimeoutError,
    TimeRange,
    ValidationError,
    _calls,
    _senders,
)

RANGE = TimeRange("2025-11-01T00:00:00", "2025-11-01T12:00:00")


@pytest.fixture
def data(make_client: Callable[..., Any], stub: Stub) -> Any:
    return make_client(
        inverter_telemetry_endpoint=stub.url,
        inverter_telemetry_api_key="k",
        auth_endpoint=stub.url,
        timeout=5,
        max_retries=2,
    )


@pytest.fixture
def pauses(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The pauses between attempts, which are not made."""
    made: list[float] = []

    async def later(seconds: float) -> None:
        made.append(seconds)

    for kind, pause in (("Sender", made.append), ("AsyncSender", later)):
        monkeypatch.setattr(f"ona_platform._senders.{kind}.__init__.__defaults__", (pause,), raising=True)
    return made


def get(client: Any) -> Any:
    return client.inverter_telemetry.get_inverter_telemetry("INV-1", "Sibaya", RANGE)


def test_a_read_is_sent_again_while_the_server_cannot_answer(pauses: list[float], data: Any, stub: Stub) -> None:
    stub.replies = [reply(503, {}), reply(500, {}), reply(200, {"records": []})]
    assert get(data) == []
    assert (len(stub.seen), pauses) == (3, [1, 2])


def test_a_read_is_given_up_after_its_retries(pauses: list[float], data: Any, stub: Stub) -> None:
    stub.replies = [reply(503, {"error": "Service unavailable"}, Retry_After="9")]
    with pytest.raises(ServiceUnavailableError) as caught:
        get(data)
    assert (len(stub.seen), caught.value.retry_after) == (3, 9)


@pytest.mark.parametrize("status", [302, 400, 401, 403, 404, 429])
def test_an_answer_that_will_not_change_is_not_asked_for_again(
    pauses: list[float], data: Any, stub: Stub, status: int
) -> None:
    stub.replies = [reply(status, {})]
    with pytest.raises(Exception) as caught:
        get(data)
    assert (len(stub.seen), pauses) == (1, [])
    assert isinstance(caught.value, RateLimitError) == (status == 429)


def test_a_login_is_never_sent_again(pauses: list[float], data: Any, stub: Stub) -> None:
    stub.replies = [reply(503, {})]
    with pytest.raises(ServiceUnavailableError):
        data.auth.login("u", "p")
    assert (len(stub.seen), pauses) == (1, [])


def test_nobody_listening_is_unavailable(pauses: list[float], make_client: Callable[..., Any]) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        client = make_client(auth_endpoint=f"http://127.0.0.1:{unused.getsockname()[1]}")
        with pytest.raises(ServiceUnavailableError):
            client.auth.login("u", "p")


@pytest.fixture
def never() -> Iterator[threading.Event]:
    event = threading.Event()
    yield event
    event.set()


def test_a_server_that_says_nothing_times_out(make_client: Callable[..., Any], stub: Stub, never: threading.Event) -> None:
    stub.replies = [Reply(200, {"Content-Length": "9"}, [b"{", never])]
    client = make_client(auth_endpoint=stub.url, timeout=0.2)
    with pytest.raises(TimeoutError):
        client.auth.login("u", "p")


def test_a_body_that_never_ends_is_cut_by_its_time(monkeypatch: pytest.MonkeyPatch) -> None:
    seconds = iter([100.0, 100.5, 101.5])
    body = _http.Body(_http.Limits(1, 100), {}, lambda: next(seconds))
    body.add(b"x")
    with pytest.raises(_http.TimedOut):
        body.add(b"x")


@pytest.mark.parametrize(
    "given",
    [
        Reply(200, {"Content-Length": "20"}, [b'{"token":"a"}']),
        Reply(200, {"Content-Length": "13", "Content-Encoding": "gzip"}, [b'{"token":"a"}']),
        Reply(200, {"Content-Length": str(2 << 10)}, [b" " * (2 << 10)]),
        Reply(200, {}, [b" " * (1 << 10)] * 3),
        Reply(200, {"Transfer-Encoding": "chunked"}, [b"7f\r\n" + b"x" * 10]),
        Reply(200, {"Transfer-Encoding": "chunked"}, [b"zz\r\n"]),
    ],
    ids=["cut off", "compressed", "too long", "too long, unannounced", "cut off in a chunk", "a bad chunk"],
)
def test_an_answer_that_cannot_be_read_whole_is_no_answer(
    monkeypatch: pytest.MonkeyPatch, make_client: Callable[..., Any], stub: Stub, given: Reply
) -> None:
    monkeypatch.setattr(_calls, "MAX_ANSWER", 1 << 10)
    stub.replies = [given]
    client = make_client(auth_endpoint=stub.url)
    with pytest.raises(ServiceUnavailableError):
        client.auth.login("u", "p")
    assert not client.auth.is_authenticated()


def test_a_request_to_this_machine_uses_no_proxy(
    monkeypatch: pytest.MonkeyPatch, make_client: Callable[..., Any], stub: Stub
) -> None:
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    for name in ("no_proxy", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
    stub.replies = [reply(200, {"token": "a.b.c"})]
    assert make_client(auth_endpoint=stub.url).auth.login("u", "p")["token"] == "a.b.c"


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A certificate for localhost by an authority that nobody knows, with its key."""
    key, now = ec.generate_private_key(ec.SECP256R1()), datetime.now(timezone.utc)
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "localhost")])
    made = (
        x509.CertificateBuilder(name, name, key.public_key(), 1, now - timedelta(days=1), now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
        .sign(key, SHA256())
    )
    pem = tmp_path_factory.mktemp("tls") / "server.pem"
    pem.write_bytes(
        made.public_bytes(Encoding.PEM) + key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    )
    return pem


@pytest.fixture
def https(certificate: Path) -> Iterator[Stub]:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    with serving(context) as running:
        running.replies = [reply(200, {"token": "a.b.c"})]
        yield running


def test_no_certificate_of_an_unknown_authority_is_believed(make_client: Callable[..., Any], https: Stub) -> None:
    with pytest.raises(ServiceUnavailableError, match="(?i)certificate"):
        make_client(auth_endpoint=https.url).auth.login("u", "p")
    assert https.seen == []


def test_a_server_with_a_good_certificate_is_believed_and_its_redirects_are_not_followed(
    monkeypatch: pytest.MonkeyPatch, make_client: Callable[..., Any], https: Stub, certificate: Path
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    _senders._tls.cache_clear()
    try:
        auth = make_client(auth_endpoint=https.url).auth
        assert auth.login("u", "p")["token"] == "a.b.c"
        https.replies = [reply(302, b"", Location=https.url)]
        with pytest.raises(ServiceUnavailableError, match="302"):
            auth.login("u", "p")
        assert len(https.seen) == 2
    finally:
        _senders._tls.cache_clear()


def test_settings_come_from_the_environment_unless_they_are_given() -> None:
    environment = {
        "ONA_AUTH_ENDPOINT": "https://a.example",
        "INVERTER_TELEMETRY_ENDPOINT": "https://t.example",
        "INVERTER_TELEMETRY_API_KEY": "k1",
        "OODA_TERMINAL_ENDPOINT": "https://o.example",
        "OODA_TERMINAL_API_KEY": "k2",
        "ONA_TIMEOUT": "7.5",
        "ONA_MAX_RETRIES": "0",
        "ONA_RETRY_BACKOFF": "3",
    }
    assert OnaConfig.from_env(environment) == OnaConfig(
        "https://a.example", "https://t.example", "k1", "https://o.example", "k2", 7.5, 0, 3.0
    )
    assert OnaConfig.from_env({name: "" for name in environment}) == OnaConfig()
    given = OnaClient(OnaConfig.from_env(environment), auth_endpoint="https://b.example", timeout=1)
    assert given.config == OnaConfig("https://b.example", "https://t.example", "k1", "https://o.example", "k2", 1, 0, 3.0)


@pytest.mark.parametrize(
    "settings",
    [
        {"ONA_TIMEOUT": "soon"},
        {"ONA_TIMEOUT": "0"},
        {"ONA_TIMEOUT": "-1"},
        {"ONA_TIMEOUT": "nan"},
        {"ONA_TIMEOUT": "inf"},
        {"ONA_MAX_RETRIES": "1.5"},
        {"ONA_MAX_RETRIES": "-1"},
        {"ONA_RETRY_BACKOFF": "-1"},
        {"ONA_RETRY_BACKOFF": "inf"},
    ],
)
def test_a_setting_that_is_wrong_is_told_at_once(settings: dict[str, str]) -> None:
    with pytest.raises(ConfigurationError):
        OnaConfig.from_env(settings)


def test_the_core_needs_nothing_but_the_standard_library() -> None:
    source = Path(__file__).resolve().parents[1] / "src"
    program = f"""
import sys
sys.path.insert(0, {str(source)!r})
sys.modules["cryptography"] = sys.modules["httpx"] = None
from keystile.session import SessionVerifier
from ona_platform import AsyncOnaClient, ConfigurationError, OnaClient
OnaClient(auth_endpoint="https://auth.example.com").auth
SessionVerifier(secret="x" * 32)
for make in (lambda: AsyncOnaClient(), lambda: SessionVerifier(jwks_url="https://auth.example.com/jwks", issuer="i")):
    try:
        make()
    except (ConfigurationError, ImportError) as refused:
        print(refused)
"""
    ran = subprocess.run([sys.executable, "-I", "-B", "-c", program], capture_output=True, text=True, check=True)
    assert ran.stdout.splitlines() == [
        "AsyncOnaClient needs the package httpx: pip install 'keystile[async]'",
        "public keys need the package cryptography: pip install 'keystile[crypto]'",
    ]


@pytest.mark.parametrize("missing", ["site_id", "asset_id"])
def test_a_read_without_its_place_is_not_sent(data: Any, stub: Stub, missing: str) -> None:
    place = {"asset_id": "INV-1", "site_id": "Sibaya"} | {missing: ""}
    with pytest.raises(ValidationError, match=missing):
        data.inverter_telemetry.get_inverter_telemetry(**place, time_range=RANGE)
    assert stub.seen == []
