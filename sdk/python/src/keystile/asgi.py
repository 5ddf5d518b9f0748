"""Lets only requests with a session through to an ASGI application (version 3)."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from keystile._authorization import KEY, MISSING, Refusal, refusal_of, token_of
from keystile._jwks import WouldFetch
from keystile.session import KeysUnavailable, SessionRejected, SessionToken, SessionVerifier

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
Application = Callable[[Scope, Receive, Send], Awaitable[None]]

_POLICY_VIOLATION = 1008  # the close code of a WebSocket (RFC 6455, section 7.4.1)


class SessionMiddleware:
    """Puts the SessionToken of the request or WebSocket into ``scope["keystile.session"]``.

    A request without a good token gets 401, and 503 while the server's keys cannot be
    had; a WebSocket is closed before it opens. With ``optional`` a request that carries
    no credential at all goes through, and the session is None. Answer CORS preflights
    before it: they carry none. It runs under asyncio; keys are fetched in a thread.
    """

    def __init__(self, app: Application, verifier: SessionVerifier, *, optional: bool = False) -> None:
        self._app = app
        self._verifier = verifier
        self._optional = optional

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
            return
        session: SessionToken | None = None
        try:
            token = token_of(_authorization(scope))
            if token is not None:
                session = await self._verify(token)
            elif not self._optional:
                await _refuse(MISSING, scope, send)
                return
        except (SessionRejected, KeysUnavailable) as error:
            await _refuse(refusal_of(error), scope, send)
            return
        await self._app({**scope, KEY: session}, receive, send)

    async def _verify(self, token: str) -> SessionToken:
        try:
            return self._verifier._verify(token, fetch=False)
        except WouldFetch:
            return await asyncio.to_thread(self._verifier.verify, token)


def _authorization(scope: Scope) -> list[str]:
    return [value.decode("latin-1") for name, value in scope["headers"] if name.lower() == b"authorization"]


async def _refuse(refusal: Refusal, scope: Scope, send: Send) -> None:
    if scope["type"] == "websocket":
        await send({"type": "websocket.close", "code": _POLICY_VIOLATION})
        return
    headers = [(name.lower().encode("ascii"), value.encode("ascii")) for name, value in refusal.all_headers]
    await send({"type": "http.response.start", "status": refusal.status, "headers": headers})
    await send({"type": "http.response.body", "body": refusal.body})
