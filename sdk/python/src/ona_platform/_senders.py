"""Sends calls, with the standard library or with httpx."""

from __future__ import annotations

import asyncio
import ssl
import time
from collections.abc import Awaitable, Callable
from functools import cache
from typing import TYPE_CHECKING, TypeVar
from urllib.parse import urlsplit

from keystile._http import Answer, Body, Connection, Request, TimedOut, Unreachable, is_loopback
from ona_platform._calls import Call, error_of_failure, is_passing, limits_of, members_of
from ona_platform.config import OnaConfig
from ona_platform.exceptions import OnaError

if TYPE_CHECKING:
    import httpx

T = TypeVar("T")


@cache
def _tls() -> ssl.SSLContext:
    """The system's authorities, as the standard library takes them, not a list of httpx's own. Slow to make."""
    return ssl.create_default_context()


def _pauses(config: OnaConfig, call: Call[T]) -> list[float]:
    """The seconds to wait before each repetition."""
    return [config.retry_backoff**n for n in range(config.max_retries if call.repeatable else 0)]


class Sender:
    """Sends a call and gives what its answer means, or raises it. Safe for use by several threads."""

    def __init__(self, config: OnaConfig, sleep: Callable[[float], None] = time.sleep) -> None:
        self._config = config
        self._sleep = sleep
        self._connection = Connection(limits_of(config))

    def __call__(self, call: Call[T]) -> T:
        for pause in _pauses(self._config, call):
            try:
                return self._once(call)
            except OnaError as error:
                if not is_passing(error):
                    raise
            self._sleep(pause)
        return self._once(call)

    def _once(self, call: Call[T]) -> T:
        try:
            answer = self._connection(call.request)
        except Unreachable as failure:
            raise error_of_failure(failure) from failure
        return call.finish(members_of(answer))


class AsyncSender:
    """Sender for asyncio. It needs httpx, ``keystile[async]``."""

    def __init__(
        self, config: OnaConfig, sleep: Callable[[float], Awaitable[None]] = asyncio.sleep
    ) -> None:
        self._config = config
        self._sleep = sleep
        self._limits = limits_of(config)
        self._clients: dict[bool, httpx.AsyncClient] = {}

    async def __call__(self, call: Call[T]) -> T:
        for pause in _pauses(self._config, call):
            try:
                return await self._once(call)
            except OnaError as error:
                if not is_passing(error):
                    raise
            await self._sleep(pause)
        return await self._once(call)

    async def aclose(self) -> None:
        """Closes the connections that are kept."""
        for client in self._clients.values():
            await client.aclose()
        self._clients.clear()

    async def _once(self, call: Call[T]) -> T:
        try:
            answer = await self._answer(call.request)
        except Unreachable as failure:
            raise error_of_failure(failure) from failure
        return call.finish(members_of(answer))

    async def _answer(self, request: Request) -> Answer:
        import httpx

        client = self._client(local=is_loopback(urlsplit(request.url).hostname or ""))
        headers = {"Accept-Encoding": "identity", **request.headers}
        try:
            async with client.stream(request.method, request.url, headers=headers, content=request.body) as response:
                found = {name.lower(): value for name, value in response.headers.items()}
                body = Body(self._limits, found, time.monotonic)
                async for piece in response.aiter_raw():
                    body.add(piece)
                return Answer(response.status_code, found, body.end())
        except httpx.TimeoutException as late:
            raise TimedOut("no answer in time") from late
        except httpx.HTTPError as failed:
            raise Unreachable(f"no answer: {failed}") from failed

    def _client(self, *, local: bool) -> httpx.AsyncClient:
        """The client for this machine, which uses no proxy, or for all others."""
        if local not in self._clients:
            import httpx

            self._clients[local] = httpx.AsyncClient(
                verify=_tls(),
                timeout=self._limits.seconds,
                follow_redirects=False,
                trust_env=not local,
            )
        return self._clients[local]
