"""``client.auth``: what is sent, what is kept, and what is raised."""

from __future__ import annotations

import base64
import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from stub import Stub, reply

from ona_platform import (
    AuthenticationError,
    ConfigurationError,
    OnaClient,
    OnaError,
    RateLimitError,
    ResourceNotFoundError,
    ServiceUnavailableError,
    ValidationError,
)

EVENTS = json.loads((Path(__file__).parent / "ona_lambda_events.json").read_text())["events"]
SIGNED_IN = {"token": "a.b.c", "user": {"user_id": "u1", "username": "u"}, "message": "Login successful"}


@pytest.fixture
def auth(make_client: Callable[..., Any], stub: Stub) -> Any:
    return make_client(auth_endpoint=stub.url + "/prod/").auth


def token(**changes: Any) -> str:
    claims = {"user_id": "u1", "username": "u", "role_id": "role_admin", "customer_ids": ["c"], "group_id": None}
    claims |= {"skin_id": None, "exp": int(time.time()) + 60} | changes
    parts = [json.dumps({"alg": "HS256", "typ": "JWT"}), json.dumps(claims), "signature"]
    return ".".join(base64.urlsafe_b64encode(part.encode()).rstrip(b"=").decode() for part in parts)


def calls(auth: Any) -> list[Callable[[], Any]]:
    """One call for each of the platform's events, in their order."""
    return [
        lambda: auth.login("user@example.com", "password"),
        lambda: auth.verify_mfa("MFA", "123456"),
        lambda: auth.refresh_token(),
        lambda: auth.get_api_key_info("opa_prod_xxxxx"),
        lambda: auth.validate_api_key("opa_prod_xxxxx", "Sibaya"),
        lambda: auth.exchange_token("external_jwt", "external-sso"),
    ]


def test_every_call_carries_what_the_platforms_own_client_sends(auth: Any, stub: Stub) -> None:
    stub.replies = [reply(200, SIGNED_IN | {"valid": True, "permitted_site_ids": []})]
    for call, event in zip(calls(auth), EVENTS, strict=True):
        auth.set_token("JWT")
        call()
        seen = stub.seen.pop()
        assert (seen.method, seen.path) == ("POST", "/prod" + event["path"])
        assert seen.headers.get("authorization") == event.get("headers", {}).get("Authorization")
        if "body" in event:
            assert seen.json == json.loads(event["body"])
            assert seen.headers["content-type"] == "application/json"
        else:
            assert seen.body == b""


def test_a_token_of_a_login_is_kept_and_sent(auth: Any, stub: Stub) -> None:
    stub.replies = [reply(200, SIGNED_IN), reply(200, {"token": "d.e.f", "expires_in": 86400}), reply(200, {})]
    assert not auth.is_authenticated() and auth.get_token() is None and auth.get_auth_header() == {}
    assert auth.login("u", "p") == SIGNED_IN
    assert auth.is_authenticated() and auth.get_auth_header() == {"Authorization": "Bearer a.b.c"}
    assert auth.refresh_token() == {"token": "d.e.f", "expires_in": 86400}
    assert auth.get_token() == "d.e.f"
    auth.logout()
    assert not auth.is_authenticated()
    assert [seen.path for seen in stub.seen[1:]] == ["/prod/api/auth/refresh", "/prod/api/auth/logout"]
    assert [seen.headers["authorization"] for seen in stub.seen[1:]] == ["Bearer a.b.c", "Bearer d.e.f"]


def test_an_mfa_challenge_is_no_login(auth: Any, stub: Stub) -> None:
    challenge = {"mfa_required": True, "mfa_token": "M", "mfa_enrollment": True, "provisioning_uri": "otpauth://totp/x"}
    stub.replies = [reply(200, challenge | {"token": "a.b.c", "more": 1}), reply(200, SIGNED_IN)]
    auth.set_token("of.somebody.else")
    assert auth.login("u", "p") == challenge
    assert not auth.is_authenticated()
    auth.verify_mfa("M", "123456")
    assert auth.get_token() == "a.b.c"


@pytest.mark.parametrize("name", ["login", "exchange_token"])
def test_a_login_that_fails_leaves_nobody_logged_in(auth: Any, stub: Stub, name: str) -> None:
    stub.replies = [reply(401, {"error": "Invalid credentials"})]
    auth.set_token("of.somebody.else")
    with pytest.raises(AuthenticationError, match="Invalid credentials"):
        getattr(auth, name)("u", "p")
    assert not auth.is_authenticated()


@pytest.mark.parametrize(
    ("status", "text", "raised"),
    [
        (400, "Invalid request", ValidationError),
        (401, "Invalid credentials", AuthenticationError),
        (401, "Invalid TOTP code", AuthenticationError),
        (401, "MFA token expired", AuthenticationError),
        (401, "Token expired", AuthenticationError),
        (401, "API key not found", AuthenticationError),
        (401, "Invalid external token", AuthenticationError),
        (403, "User account is inactive", AuthenticationError),
        (404, "Not found", ResourceNotFoundError),
        (413, "Invalid request", ValidationError),
        (429, "Too many requests", RateLimitError),
        (500, "Service unavailable", ServiceUnavailableError),
        (503, "Service unavailable", ServiceUnavailableError),
    ],
)
def test_every_documented_error_is_raised_as_documented_after_one_attempt(
    auth: Any, stub: Stub, status: int, text: str, raised: type[OnaError]
) -> None:
    stub.replies = [reply(status, {"error": text}, Retry_After="7")]
    auth.set_token("JWT")
    for n, call in enumerate(calls(auth), 1):
        auth.set_token("JWT")
        with pytest.raises(raised) as caught:
            call()
        assert type(caught.value) is raised
        assert (str(caught.value), caught.value.status) == (text, status)
        assert len(stub.seen) == n
        if isinstance(caught.value, (RateLimitError, ServiceUnavailableError)):
            assert caught.value.retry_after == 7


@pytest.mark.parametrize("value", ["", "soon", "-1", "1.5", "Wed, 21 Oct 2026 07:28:00 GMT", "٣", "9" * 50])
def test_a_retry_after_that_is_no_number_of_seconds_is_not_made_one(auth: Any, stub: Stub, value: str) -> None:
    stub.replies = [reply(429, {"error": "Too many requests"}, Retry_After=value.encode().decode("latin-1"))]
    with pytest.raises(RateLimitError) as caught:
        auth.login("u", "p")
    assert caught.value.retry_after is None


@pytest.mark.parametrize(
    ("body", "text"),
    [
        (b"", "Unauthorized"),
        (b"<html>", "Unauthorized"),
        (b'"text"', "Unauthorized"),
        (b'{"error": 1}', "Unauthorized"),
        (b'{"error": ""}', "Unauthorized"),
        (b'{"error": "a\\u001b[31m\\nb"}', "a[31mb"),
        (json.dumps({"error": "x" * 5000}).encode(), "x" * 300),
    ],
)
def test_an_error_without_a_usable_text_has_one_of_ours(auth: Any, stub: Stub, body: bytes, text: str) -> None:
    stub.replies = [reply(401, body)]
    with pytest.raises(AuthenticationError) as caught:
        auth.login("u", "p")
    assert str(caught.value) == text


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"<html>",
        b"[]",
        b"{}",
        b'{"token": ""}',
        b'{"token": 7}',
        b'{"token": "a\\nb"}',
        b'{"token": "a", "token": "b"}',
        b'{"mfa_required": true}',
        b'{"token": NaN}',
        b"\xff",
        b"[" * 20000,
        b'{"token": ' + b"[" * 20000,
    ],
)
def test_a_good_status_with_a_bad_body_is_no_login(auth: Any, stub: Stub, body: bytes) -> None:
    stub.replies = [reply(200, body)]
    with pytest.raises(ServiceUnavailableError, match="Invalid response from service"):
        auth.login("u", "p")
    assert not auth.is_authenticated()


def test_a_redirect_is_not_followed(auth: Any, stub: Stub) -> None:
    stub.replies = [reply(307, b"", Location=stub.url + "/elsewhere")]
    with pytest.raises(ServiceUnavailableError):
        auth.login("u", "p")
    assert len(stub.seen) == 1


@pytest.mark.parametrize("value", ["", None, 7])
def test_what_is_missing_is_told_before_anything_is_sent(auth: Any, stub: Stub, value: Any) -> None:
    wrong: list[Callable[[], Any]] = [
        lambda: auth.login(value, "p"),
        lambda: auth.login("u", value),
        lambda: auth.verify_mfa(value, "123456"),
        lambda: auth.verify_mfa("M", value),
        lambda: auth.exchange_token(value),
        lambda: auth.exchange_token("t", value),
        lambda: auth.get_api_key_info(value),
        lambda: auth.validate_api_key(value, "Sibaya"),
        lambda: auth.validate_api_key("k", value),
        lambda: auth.set_token(value),
    ]
    for call in wrong:
        with pytest.raises(ValidationError, match="is required"):
            call()
    with pytest.raises(AuthenticationError, match="Not authenticated"):
        auth.refresh_token()
    with pytest.raises(AuthenticationError, match="Not authenticated"):
        auth.get_current_user()
    auth.logout()
    assert stub.seen == []


@pytest.mark.parametrize("text", ["a b", "a\r\nX: y", "a\n", "ä", "\x00"])
def test_a_token_that_could_leave_its_header_field_is_not_taken(auth: Any, text: str) -> None:
    with pytest.raises(ValidationError) as caught:
        auth.set_token(text)
    assert text not in str(caught.value)


def test_logout_forgets_the_token_whatever_the_server_says(auth: Any, stub: Stub) -> None:
    stub.replies = [reply(401, {"error": "Token expired"}), reply(503, {"error": "Service unavailable"})]
    auth.set_token("a.b.c")
    auth.logout()
    assert not auth.is_authenticated()
    auth.set_token("a.b.c")
    with pytest.raises(ServiceUnavailableError):
        auth.logout()
    assert not auth.is_authenticated()


def test_the_current_user_is_what_the_token_says(auth: Any, stub: Stub) -> None:
    auth.set_token(token())
    assert auth.get_current_user() == {
        "user_id": "u1",
        "username": "u",
        "role_id": "role_admin",
        "customer_ids": ["c"],
        "group_id": None,
        "skin_id": None,
    }
    auth.set_token(token(customer_ids=None, more=1))
    assert auth.get_current_user()["customer_ids"] == []
    assert "more" not in auth.get_current_user()
    assert stub.seen == []


@pytest.mark.parametrize(
    ("given", "text"),
    [
        (token(exp=int(time.time())), "Token expired"),
        (token(exp=str(int(time.time()) + 60)), "exp is not a whole number"),
        (token(exp=time.time() + 60), "exp is not a whole number"),
        (token(exp=True), "exp is not a whole number"),
        (token(exp=None), "exp is not a whole number"),
        ("eyJhbGciOiJIUzI1NiIs...", "Invalid token"),
        ("opaque", "Invalid token"),
        ("a.b.c", "Invalid token"),
        ("x" * 9000, "Invalid token"),
    ],
)
def test_a_token_that_is_expired_or_unreadable_names_no_user(auth: Any, given: str, text: str) -> None:
    auth.set_token(given)
    assert auth.is_authenticated()
    with pytest.raises(AuthenticationError, match=text) as caught:
        auth.get_current_user()
    assert given not in str(caught.value)


@pytest.mark.parametrize(
    ("at", "expired"),
    [
        (None, False),
        ("", False),
        ("2999-01-01T00:00:00", False),
        ("2999-01-01T00:00:00Z", False),
        ("2999-01-01T00:00:00+00:00", False),
        ("2025-11-01T00:00:00", True),
        ("2025-11-01T00:00:00+02:00", True),
        ("never", True),
        (7, True),
    ],
)
def test_whether_a_key_is_expired_is_found_out_here(auth: Any, stub: Stub, at: Any, expired: bool) -> None:
    stub.replies = [reply(200, {"api_key_id": "k", "expires_at": at})]
    assert auth.get_api_key_info("key") == {"api_key_id": "k", "expires_at": at, "is_expired": expired}


def test_a_key_without_an_expiry_does_not_expire(auth: Any, stub: Stub) -> None:
    stub.replies = [reply(200, {"api_key_id": "k"})]
    assert auth.get_api_key_info("key") == {"api_key_id": "k", "expires_at": None, "is_expired": False}


@pytest.mark.parametrize("valid", [None, "true", 1])
def test_a_key_is_valid_only_if_the_server_says_so(auth: Any, stub: Stub, valid: Any) -> None:
    stub.replies = [reply(200, {"valid": valid})]
    with pytest.raises(ServiceUnavailableError):
        auth.validate_api_key("key", "Sibaya")


def test_nothing_printable_shows_a_credential(auth: Any, stub: Stub) -> None:
    stub.replies = [reply(401, {"error": "Invalid credentials"})]
    client = OnaClient(auth_endpoint=stub.url, inverter_telemetry_api_key="key-1", ooda_terminal_api_key="key-2")
    client.auth.set_token("token-3")
    with pytest.raises(AuthenticationError) as caught:
        client.auth.login("u", "password-4")
    shown = repr(client.config) + repr(client.auth) + repr(caught.value) + repr(vars(caught.value))
    assert not any(secret in shown for secret in ("key-1", "key-2", "token-3", "password-4"))


@pytest.mark.parametrize(
    "endpoint",
    [
        None,
        "",
        "auth.example.com",
        "http://auth.example.com",
        "http://127.0.0.1.example.com",
        "http://localhost.example.com",
        "http://0.0.0.0:1",
        "ftp://auth.example.com",
        "file:///etc/passwd",
        "https://",
        "https:///prod",
        "https://user:password@auth.example.com",
        "https://auth.example.com/prod?x=1",
        "https://auth.example.com/prod#x",
        "https://auth.example.com:port",
        "https://auth.example.com:0",
        "https://auth.example.com/a b",
        "https://auth.example.com/\r\nX: y",
        " https://auth.example.com",
        "https://[::1",
    ],
)
def test_an_endpoint_that_is_not_safe_is_refused(
    make_client: Callable[..., Any], monkeypatch: pytest.MonkeyPatch, endpoint: Any
) -> None:
    monkeypatch.delenv("ONA_AUTH_ENDPOINT", raising=False)
    client = make_client(auth_endpoint=endpoint)
    with pytest.raises(ConfigurationError, match="auth_endpoint"):
        client.auth.login("u", "p")


@pytest.mark.parametrize(
    "endpoint", ["https://auth.example.com/prod", "http://localhost:8080", "http://127.0.0.1:1/prod/", "http://[::1]:1"]
)
def test_a_safe_endpoint_is_taken(make_client: Callable[..., Any], endpoint: str) -> None:
    assert make_client(auth_endpoint=endpoint).auth.get_token() is None
