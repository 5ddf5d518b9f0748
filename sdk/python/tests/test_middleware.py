"""Nobody gets past the middleware without a session, and the application sees whose it is."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from typing import Any

import pytest
from issuer import ISSUER, KEYS, NOW, jwt, key_set
from stub import Stub, reply

from keystile import asgi, wsgi
from keystile.session import SessionToken, SessionVerifier

GOOD = jwt(KEYS["ed"])
SEEN = "keystile.session"

Ask = Callable[..., tuple[int, dict[str, str], bytes]]


@pytest.fixture
def verifier(stub: Stub) -> SessionVerifier:
    stub.replies = [reply(200, key_set())]
    return SessionVerifier(jwks_url=stub.url, issuer=ISSUER, clock=lambda: NOW)


def subject(found: Any) -> bytes:
    return found[SEEN].subject.encode() if isinstance(found[SEEN], SessionToken) else str(found[SEEN]).encode()


def ask_wsgi(verifier: SessionVerifier, *fields: str, optional: bool = False) -> tuple[int, dict[str, str], bytes]:
    def application(environ: Any, start_response: Any) -> list[bytes]:
        start_response("200 OK", [])
        return [subject(environ)]

    got: list[Any] = []
    environ: dict[str, Any] = {SEEN: "smuggled"}
    if fields:
        environ["HTTP_AUTHORIZATION"] = ",".join(fields)
    middleware = wsgi.SessionMiddleware(application, verifier, optional=optional)
    body = b"".join(middleware(environ, lambda status, headers, *rest: got.append((status, headers)) or bytes))  # type: ignore[func-returns-value]
    ((status, headers),) = got
    return int(status.split()[0]), {name.lower(): value for name, value in headers}, body


def run_asgi(verifier: SessionVerifier, scope: dict[str, Any], *, optional: bool = False) -> list[dict[str, Any]]:
    sent: list[Any] = []

    async def application(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": subject(scope) if SEEN in scope else b"no scope"})

    async def receive() -> Any:
        raise AssertionError("nothing is read")

    async def send(message: Any) -> None:
        sent.append(message)

    asyncio.run(asgi.SessionMiddleware(application, verifier, optional=optional)(scope, receive, send))
    return sent


def ask_asgi(verifier: SessionVerifier, *fields: str, optional: bool = False) -> tuple[int, dict[str, str], bytes]:
    headers = [(b"accept", b"*/*"), *((b"Authorization", field.encode("latin-1")) for field in fields)]
    start, body = run_asgi(verifier, {"type": "http", "headers": headers, SEEN: "smuggled"}, optional=optional)
    return start["status"], {n.decode(): v.decode() for n, v in start["headers"]}, body["body"]


@pytest.fixture(params=[ask_wsgi, ask_asgi], ids=["wsgi", "asgi"])
def ask(request: pytest.FixtureRequest) -> Ask:
    return request.param  # type: ignore[no-any-return]


@pytest.mark.parametrize("field", ["Bearer " + GOOD, "bearer " + GOOD, "BEARER  " + GOOD, GOOD])
@pytest.mark.parametrize("optional", [False, True])
def test_a_good_token_is_let_through_with_its_session(
    ask: Ask, verifier: SessionVerifier, field: str, optional: bool
) -> None:
    assert ask(verifier, field, optional=optional)[::2] == (200, b"u1")


@pytest.mark.parametrize(
    "fields",
    [
        ("",),
        (" ",),
        ("Bearer",),
        ("Bearer ",),
        ("Bearer null",),
        ("Basic dTpw",),
        ("Basic " + GOOD,),
        ("Bearer Bearer " + GOOD,),
        ("Bearer " + GOOD + ", Bearer " + GOOD,),
        ("Bearer " + GOOD, "Bearer " + GOOD),
        (GOOD, GOOD),
        ("Bearer " + jwt(KEYS["ed"], exp=NOW),),
        ("Bearer " + jwt(KEYS["ed"], sid=...),),
        ("Bearer " + GOOD + "é",),
    ],
)
@pytest.mark.parametrize("optional", [False, True])
def test_a_credential_that_is_not_good_is_refused_also_where_none_is_needed(
    ask: Ask, verifier: SessionVerifier, fields: tuple[str, ...], optional: bool
) -> None:
    status, headers, body = ask(verifier, *fields, optional=optional)
    assert (status, headers["www-authenticate"]) == (401, 'Bearer error="invalid_token"')
    assert headers["content-type"] == "application/problem+json"
    assert headers["cache-control"] == "no-store"
    assert headers["content-length"] == str(len(body))
    assert json.loads(body) == {"type": "about:blank", "title": "Unauthorized", "status": 401}


def test_a_request_without_a_credential_goes_through_only_where_none_is_needed(
    ask: Ask, verifier: SessionVerifier
) -> None:
    status, headers, _ = ask(verifier)
    assert (status, headers["www-authenticate"]) == (401, "Bearer")
    assert ask(verifier, optional=True)[::2] == (200, b"None")


def test_without_the_servers_keys_nobody_is_let_in(ask: Ask, verifier: SessionVerifier, stub: Stub) -> None:
    stub.replies = [reply(503, {})]
    status, headers, _ = ask(verifier, "Bearer " + GOOD, optional=True)
    assert (status, headers["retry-after"]) == (503, "30")


def test_a_websocket_without_a_session_is_closed_before_it_opens(verifier: SessionVerifier) -> None:
    for headers in ([], [(b"authorization", b"Bearer x")]):
        sent = run_asgi(verifier, {"type": "websocket", "headers": headers})
        assert sent == [{"type": "websocket.close", "code": 1008}]
    (start, body) = run_asgi(verifier, {"type": "websocket", "headers": [(b"authorization", GOOD.encode())]})
    assert body["body"] == b"u1"


def test_the_start_and_end_of_a_server_pass(verifier: SessionVerifier) -> None:
    assert run_asgi(verifier, {"type": "lifespan"})[1]["body"] == b"no scope"


def test_an_event_loop_does_not_wait_for_keys(verifier: SessionVerifier, stub: Stub) -> None:
    """The keys come from the event loop itself here: it could not give them if it waited."""

    async def both() -> int:
        served = asyncio.Event()

        async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await reader.readuntil(b"\r\n\r\n")
            body = json.dumps(key_set()).encode()
            writer.write(b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body))
            await writer.drain()
            writer.close()
            served.set()

        server = await asyncio.start_server(answer, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        sent: list[Any] = []

        async def application(scope: Any, receive: Any, send: Any) -> None:
            sent.append(scope[SEEN])

        async def nothing(*message: Any) -> Any:
            return None

        middleware = asgi.SessionMiddleware(
            application, SessionVerifier(jwks_url=f"http://127.0.0.1:{port}/jwks", issuer=ISSUER, clock=lambda: NOW)
        )
        scope = {"type": "http", "headers": [(b"authorization", GOOD.encode())]}
        await middleware(scope, nothing, nothing)
        assert served.is_set()
        server.close()
        await server.wait_closed()
        return len(sent)

    assert asyncio.run(both()) == 1
