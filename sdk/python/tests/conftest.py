"""Fixtures of more than one file."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from stub import Stub, serving

from ona_platform import AsyncOnaClient, OnaClient


@pytest.fixture
def stub() -> Iterator[Stub]:
    with serving() as running:
        yield running


class Blocking:
    """An asynchronous client, or a part of it, whose calls are waited for."""

    def __init__(self, target: Any, loop: asyncio.AbstractEventLoop) -> None:
        self._target = target
        self._loop = loop

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._target, name)
        if not callable(found):
            return Blocking(found, self._loop)

        def call(*args: Any, **named: Any) -> Any:
            result = found(*args, **named)
            return self._loop.run_until_complete(result) if asyncio.iscoroutine(result) else result

        return call


@pytest.fixture(params=["synchronous", "asynchronous"])
def make_client(request: pytest.FixtureRequest) -> Iterator[Callable[..., Any]]:
    """Makes clients of either kind, used in the same way."""
    if request.param == "synchronous":
        yield OnaClient
        return
    loop = asyncio.new_event_loop()
    made: list[AsyncOnaClient] = []

    def make(**settings: Any) -> Any:
        made.append(AsyncOnaClient(**settings))
        return Blocking(made[-1], loop)

    yield make
    for client in made:
        loop.run_until_complete(client.aclose())
    loop.close()
