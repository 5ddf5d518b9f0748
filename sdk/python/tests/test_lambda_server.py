"""The platform's way over AWS Lambda Invoke against a running server, when there is one: see world.py."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from lambda_client import LambdaAuthClient
from world import SERVER, WORLD, external_token, totp, user

from keystile.session import SessionVerifier
from ona_platform.exceptions import AuthenticationError, ServiceUnavailableError

if WORLD:

    def never(seconds: float) -> None:
        raise AssertionError("the call was sent again")

    @pytest.fixture
    def client(monkeypatch: pytest.MonkeyPatch) -> LambdaAuthClient:
        monkeypatch.setenv("AWS_ENDPOINT_URL_LAMBDA", SERVER)
        monkeypatch.setenv("AWS_ACCESS_KEY_ID", "any")
        monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "any")
        return LambdaAuthClient("https://auth.example.com/prod", never)

    def test_a_login_over_lambda_gives_a_token_that_is_refreshed(client: LambdaAuthClient) -> None:
        plain = user("plain")
        result = client.login(plain.username, plain.password)
        assert result["user"]["username"] == plain.username
        assert result["message"] == "Login successful"
        first = client.token
        assert client.refresh_token()["expires_in"] == 86400
        assert client.token not in (None, first)
        SessionVerifier(secret=WORLD["jwt_secret"]).verify(str(client.token))

    def test_a_login_over_lambda_is_asked_for_its_code(client: LambdaAuthClient) -> None:
        mfa = user("lambda")
        challenge = client.login(mfa.username, mfa.password)
        assert challenge["mfa_required"] is True and client.token is None
        client.verify_mfa(challenge["mfa_token"], totp(mfa.totp_secret))
        assert client.token

    def test_a_key_is_introspected_and_a_token_exchanged_over_lambda(client: LambdaAuthClient) -> None:
        assert client.get_api_key_info(WORLD["api_key"])["permitted_site_ids"] == [WORLD["site"]]
        assert client.validate_api_key(WORLD["api_key"], WORLD["site"])["valid"] is True
        assert client.validate_api_key(WORLD["api_key"], WORLD["other_site"])["valid"] is False
        assert client.exchange_token(external_token(), WORLD["provider"]["name"])["token"] == client.token

    def test_a_refusal_over_lambda_is_told_once(client: LambdaAuthClient) -> None:
        """The platform's client sends a refused call four times if the body is an object: the server gives a text."""
        client.token = "a.b.c"
        refused: list[tuple[type[Exception], Callable[[], Any]]] = [
            (ServiceUnavailableError, lambda: client.login("nobody@example.com", "wrong")),
            (ServiceUnavailableError, lambda: client.verify_mfa("invented", "123456")),
            (ServiceUnavailableError, lambda: client.get_api_key_info("opa_prod_unknown")),
            (ServiceUnavailableError, lambda: client.validate_api_key("opa_prod_unknown", WORLD["site"])),
            (ServiceUnavailableError, lambda: client.exchange_token("a.b.c", WORLD["provider"]["name"])),
            (AuthenticationError, client.refresh_token),
        ]
        for kind, call in refused:
            with pytest.raises(kind, match="'str' object has no attribute 'get'"):
                call()

    def test_every_stage_of_the_function_is_answered(client: LambdaAuthClient) -> None:
        for stage in ("staging", "dev", "prod"):
            client.function = f"ona-user-auth-{stage}"
            assert client.validate_api_key(WORLD["api_key"], WORLD["site"])["valid"] is True
