"""Both clients against a running server, when there is one: see world.py."""

from __future__ import annotations

import asyncio
import json
import urllib.request
from collections.abc import Callable
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from world import ENDPOINT, SERVER, WORLD, external_token, totp, user

from keystile.asgi import SessionMiddleware
from keystile.session import SessionRejected, SessionVerifier
from ona_platform import AuthenticationError, OnaClient, OnaError, RateLimitError, TimeRange, ValidationError

HALF_A_DAY = TimeRange("2025-11-01T00:00:00", "2025-11-01T12:00:00")


def raises(kind: type[OnaError], text: str, status: int, call: Callable[[], Any]) -> OnaError:
    with pytest.raises(kind) as caught:
        call()
    assert (type(caught.value), str(caught.value), caught.value.status) == (kind, text, status)
    return caught.value


if WORLD:

    def test_a_login_gives_a_token_of_that_user(make_client: Callable[..., Any]) -> None:
        auth, plain = make_client(auth_endpoint=ENDPOINT).auth, user("plain")
        result = auth.login(plain.username.upper(), plain.password)
        assert result["user"]["username"] == plain.username
        me = auth.get_current_user()
        assert me["username"] == plain.username and me["role_id"] == "role_analyst" and me["customer_ids"] == ["cust-1"]
        assert me["user_id"] == result["user"]["user_id"]
        session = SessionVerifier(secret=WORLD["jwt_secret"]).verify(result["token"])
        assert session.subject == me["user_id"]
        assert session.claims["sid"] == session.session_id

    def test_a_wrong_password_and_an_unknown_user_are_told_alike(make_client: Callable[..., Any]) -> None:
        auth = make_client(auth_endpoint=ENDPOINT).auth
        for username in (user("plain").username, "nobody@example.com"):
            raises(AuthenticationError, "Invalid credentials", 401, lambda: auth.login(username, "wrong"))
        assert not auth.is_authenticated()

    def test_a_session_is_refreshed_and_ends_with_its_logout(make_client: Callable[..., Any]) -> None:
        auth, plain = make_client(auth_endpoint=ENDPOINT).auth, user("plain")
        first = auth.login(plain.username, plain.password)["token"]
        second = auth.refresh_token()
        assert second["token"] not in ("", first) and second["expires_in"] == 86400
        assert auth.get_token() == second["token"]
        auth.logout()
        for copy in (first, second["token"]):
            auth.set_token(copy)
            with pytest.raises(AuthenticationError):
                auth.refresh_token()

    def test_a_token_that_is_no_token_is_not_refreshed(make_client: Callable[..., Any]) -> None:
        auth = make_client(auth_endpoint=ENDPOINT).auth
        for token in ("a.b.c", "opaque", "eyJhbGciOiJIUzI1NiIs..."):
            auth.set_token(token)
            with pytest.raises(AuthenticationError):
                auth.refresh_token()

    def test_a_user_with_an_authenticator_app_is_asked_for_its_code() -> None:
        auth, mfa = OnaClient(auth_endpoint=ENDPOINT).auth, user("mfa")
        challenge = auth.login(mfa.username, mfa.password)
        assert set(challenge) == {"mfa_required", "mfa_token"} and not auth.is_authenticated()
        code = totp(mfa.totp_secret)
        wrong = f"{(int(code) + 1) % 10**6:06}"
        raises(AuthenticationError, "Invalid TOTP code", 401, lambda: auth.verify_mfa(challenge["mfa_token"], wrong))
        assert auth.verify_mfa(challenge["mfa_token"], code)["user"]["username"] == mfa.username
        assert auth.get_current_user()["username"] == mfa.username

    def test_a_user_who_needs_an_authenticator_app_enrols_one() -> None:
        auth, new = OnaClient(auth_endpoint=ENDPOINT).auth, user("enrol")
        challenge = auth.login(new.username, new.password)
        assert challenge["mfa_enrollment"] is True
        uri = urlsplit(challenge["provisioning_uri"])
        assert (uri.scheme, uri.netloc) == ("otpauth", "totp")
        (secret,) = parse_qs(uri.query)["secret"]
        auth.verify_mfa(challenge["mfa_token"], totp(secret))
        again = auth.login(new.username, new.password)
        assert set(again) == {"mfa_required", "mfa_token"}
        auth.verify_mfa(again["mfa_token"], totp(secret, ahead=1))

    def test_an_mfa_token_that_is_none_has_expired(make_client: Callable[..., Any]) -> None:
        auth = make_client(auth_endpoint=ENDPOINT).auth
        raises(AuthenticationError, "MFA token expired", 401, lambda: auth.verify_mfa("invented", "123456"))

    def test_a_login_that_fails_too_often_is_told_when_to_try_again() -> None:
        auth, victim = OnaClient(auth_endpoint=ENDPOINT).auth, user("locked")
        # From the tenth failure on there is a pause, at first of a second, which a slow machine does not notice.
        for failures in range(20):
            try:
                auth.login(victim.username, "wrong")
            except RateLimitError as error:
                assert (str(error), error.status) == ("Too many requests", 429)
                assert error.retry_after is not None and error.retry_after > 0
                assert failures >= 10
                return
            except AuthenticationError:
                pass
        raise AssertionError("there was no pause")

    def test_an_api_key_is_its_own_proof(make_client: Callable[..., Any]) -> None:
        auth = make_client(auth_endpoint=ENDPOINT).auth
        info = auth.get_api_key_info(WORLD["api_key"])
        assert info["permitted_site_ids"] == [WORLD["site"]] and info["is_expired"] is False
        assert auth.validate_api_key(WORLD["api_key"], WORLD["site"])["valid"] is True
        other = auth.validate_api_key(WORLD["api_key"], WORLD["other_site"])
        assert (other["valid"], other["error"]) == (False, "Site not permitted")
        unknown = WORLD["api_key"][:-8] + "00000000"
        raises(AuthenticationError, "API key not found", 401, lambda: auth.get_api_key_info(unknown))
        raises(AuthenticationError, "API key not found", 401, lambda: auth.validate_api_key(unknown, WORLD["site"]))

    def test_a_token_of_a_known_provider_is_exchanged(make_client: Callable[..., Any]) -> None:
        auth, name = make_client(auth_endpoint=ENDPOINT).auth, WORLD["provider"]["name"]
        assert auth.exchange_token(external_token(), name)["user"]["username"] == user("external").username
        assert auth.get_current_user()["username"] == user("external").username
        for token, provider in ((external_token(aud="else"), name), (external_token(), "invented"), ("a.b.c", name)):
            raises(
                AuthenticationError,
                "Invalid external token",
                401,
                lambda token=token, provider=provider: auth.exchange_token(token, provider),  # type: ignore[misc]
            )
        assert not auth.is_authenticated()

    def test_an_api_key_reads_the_records_of_its_site_only(make_client: Callable[..., Any]) -> None:
        settings = {"inverter_telemetry_endpoint": ENDPOINT, "inverter_telemetry_api_key": WORLD["api_key"]}
        data = make_client(**settings).inverter_telemetry
        records = data.get_inverter_telemetry(WORLD["asset"], WORLD["site"], HALF_A_DAY, limit=10)
        assert len(records) == 10 and {record.site_id for record in records} == {WORLD["site"]}
        more = data.get_inverter_telemetry(WORLD["asset"], WORLD["site"], HALF_A_DAY, cursor=records.next_cursor)
        assert more[0].timestamp > records[-1].timestamp
        raises(
            AuthenticationError,
            "Access denied",
            403,
            lambda: data.get_inverter_telemetry(WORLD["asset"], WORLD["other_site"], HALF_A_DAY),
        )
        raises(
            ValidationError,
            "Invalid request",
            400,
            lambda: data.get_inverter_telemetry(WORLD["asset"], WORLD["site"], HALF_A_DAY, resolution="hourly"),
        )
        unknown = make_client(**settings | {"inverter_telemetry_api_key": "opa_prod_unknown"}).inverter_telemetry
        raises(
            AuthenticationError,
            "Unauthorized",
            401,
            lambda: unknown.get_inverter_telemetry(WORLD["asset"], WORLD["site"], HALF_A_DAY),
        )

    def nao_token() -> str:
        plain = user("plain")
        body = json.dumps({"session": {"email": plain.username, "password": plain.password}}).encode()
        request = urllib.request.Request(SERVER + "/api/v2/sessions", body, {"Content-Type": "application/json"})
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        with opener.open(request, timeout=10) as answer:
            return str(json.load(answer)["meta"]["jwt"])

    def test_a_session_is_verified_by_the_servers_public_keys() -> None:
        verifier = SessionVerifier(jwks_url=SERVER + "/.well-known/jwks.json", issuer=WORLD["issuer"])
        token = nao_token()
        session = verifier.verify(token)
        assert session.claims["username"] == user("plain").username
        with pytest.raises(SessionRejected):
            verifier.verify(token[:-4] + "AAAA")
        auth = OnaClient(auth_endpoint=ENDPOINT).auth
        auth.login(user("plain").username, user("plain").password)
        with pytest.raises(SessionRejected):
            verifier.verify(str(auth.get_token()))
        with pytest.raises(SessionRejected):
            SessionVerifier(secret=WORLD["jwt_secret"]).verify(token)

    def test_the_middleware_lets_the_servers_sessions_through() -> None:
        import httpx

        async def hello(scope: Any, receive: Any, send: Any) -> None:
            await send({"type": "http.response.start", "status": 200, "headers": []})
            await send({"type": "http.response.body", "body": scope["keystile.session"].claims["username"].encode()})

        verifier = SessionVerifier(jwks_url=SERVER + "/.well-known/jwks.json", issuer=WORLD["issuer"])

        async def ask(*headers: tuple[str, str]) -> tuple[int, str]:
            transport = httpx.ASGITransport(SessionMiddleware(hello, verifier))
            async with httpx.AsyncClient(transport=transport, base_url="http://api.example.com") as client:
                answer = await client.get("/", headers=list(headers))
                return answer.status_code, answer.text

        token = nao_token()
        assert asyncio.run(ask(("Authorization", token))) == (200, user("plain").username)
        assert asyncio.run(ask(("Authorization", f"Bearer {token}"))) == (200, user("plain").username)
        assert asyncio.run(ask())[0] == 401
