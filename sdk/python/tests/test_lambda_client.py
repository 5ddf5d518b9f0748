"""The Lambda client behaves as the platform's own was observed to: its events, its repetitions, its exceptions."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from lambda_client import LambdaAuthClient, function_of
from stub import Stub, reply

from ona_platform.exceptions import AuthenticationError, OnaError, ServiceUnavailableError

EVENTS = json.loads((Path(__file__).parent / "ona_lambda_events.json").read_text())["events"]


@pytest.fixture
def pauses() -> list[float]:
    return []


@pytest.fixture
def client(monkeypatch: pytest.MonkeyPatch, stub: Stub, pauses: list[float]) -> LambdaAuthClient:
    monkeypatch.setenv("AWS_ENDPOINT_URL_LAMBDA", stub.url)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "any")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "any")
    made = LambdaAuthClient("https://auth.example.com/prod", pauses.append)
    made.token = "JWT"
    return made


def calls(client: LambdaAuthClient) -> list[Callable[[], Any]]:
    return [
        lambda: client.login("user@example.com", "password"),
        lambda: client.verify_mfa("MFA", "123456"),
        lambda: client.refresh_token(),
        lambda: client.get_api_key_info("opa_prod_xxxxx"),
        lambda: client.validate_api_key("opa_prod_xxxxx", "Sibaya"),
        lambda: client.exchange_token("external_jwt", "external-sso"),
    ]


def test_the_events_are_those_of_the_platforms_client(client: LambdaAuthClient, stub: Stub) -> None:
    stub.replies = [reply(200, {"statusCode": 200, "body": json.dumps({"token": "JWT"})})]
    for call, event in zip(calls(client), EVENTS, strict=True):
        call()
        seen = stub.seen.pop()
        assert seen.path == "/2015-03-31/functions/ona-user-auth-prod/invocations"
        assert seen.headers["x-amz-invocation-type"] == "RequestResponse"
        assert seen.headers["authorization"].startswith("AWS4-HMAC-SHA256 ")
        assert seen.json == event


@pytest.mark.parametrize(
    "answer",
    [
        {"statusCode": 200, "body": '{"token": "T"}'},
        {"statusCode": 200, "body": {"token": "T"}},
        {"token": "T"},
    ],
)
def test_three_forms_of_a_good_answer_are_read(client: LambdaAuthClient, stub: Stub, answer: Any) -> None:
    stub.replies = [reply(200, answer)]
    assert client.login("u", "p") == {"token": "T"}
    assert client.token == "T"


@pytest.mark.parametrize(("status", "attempts"), [(400, 1), (404, 1), (401, 4), (403, 4), (429, 4), (500, 4), (503, 4)])
@pytest.mark.parametrize("text", [False, True], ids=["object", "text"])
def test_a_bad_answer_is_repeated_and_raised_as_observed(
    client: LambdaAuthClient, stub: Stub, pauses: list[float], status: int, attempts: int, text: bool
) -> None:
    body = {"error": "why"}
    stub.replies = [reply(200, {"statusCode": status, "body": json.dumps(body) if text else body})]
    for n, call in enumerate(calls(client)):
        raised: type[OnaError] = AuthenticationError if n == 2 else ServiceUnavailableError
        with pytest.raises(raised, match="'str' object has no attribute 'get'" if text else "why"):
            call()
        assert len(stub.seen) == (1 if text else attempts)
        assert pauses == ([] if text or attempts == 1 else [1, 2, 4])
        stub.seen.clear()
        pauses.clear()


@pytest.mark.parametrize(
    ("endpoint", "function"),
    [
        ("https://auth-api.asoba.co/prod", "ona-user-auth-prod"),
        ("https://auth.example.com/staging", "ona-user-auth-staging"),
        ("https://developer.example", "ona-user-auth-dev"),
        ("http://localhost:8080", "ona-user-auth-dev"),
        ("https://dev-staging.example", "ona-user-auth-staging"),
        ("https://DEV.example", "ona-user-auth-prod"),
    ],
)
def test_the_endpoint_only_chooses_the_function(endpoint: str, function: str) -> None:
    assert function_of(endpoint) == function
