"""One HTTP request and its answer, within limits, with the standard library.

Nothing is followed, decoded or repeated: a redirect is an answer like another, so
that no credential travels to a place the caller did not name.
"""

from __future__ import annotations

import http.client
import ipaddress
import re
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

# What RFC 3986 allows, without "#", "?" and "@": an endpoint is a scheme, a host and a path.
_ENDPOINT = re.compile(r"https?://[A-Za-z0-9\-._~:\[\]]+(/[A-Za-z0-9\-._~!$&'()*+,;=:%/]*)?")


@dataclass(frozen=True)
class Request:
    method: str
    url: str
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    body: bytes | None = field(default=None, repr=False)


@dataclass(frozen=True)
class Answer:
    """``headers`` have names in lower case."""

    status: int
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    body: bytes = field(default=b"", repr=False)


class Unreachable(Exception):
    """There was no answer, or none that can be read."""


class TimedOut(Unreachable):
    """There was no answer in time."""


@dataclass(frozen=True)
class Limits:
    """``seconds`` bound the connection, each wait for the server, and the whole body; ``size`` the body in bytes."""

    seconds: float
    size: int


def check_endpoint(name: str, endpoint: object) -> str:
    """The URL without slashes at its end. It raises ValueError unless it is https, or http on this machine."""
    if not isinstance(endpoint, str) or not _ENDPOINT.fullmatch(endpoint):
        raise ValueError(f"{name} is a URL like https://api.example.com, without user, query and fragment")
    try:
        parts = urlsplit(endpoint)
        if not parts.hostname or parts.port == 0:
            raise ValueError("no host")
    except ValueError as unreadable:
        raise ValueError(f"{name} cannot be read as a URL: {unreadable}") from None
    if parts.scheme != "https" and not is_loopback(parts.hostname):
        raise ValueError(f"{name} must use https:// (http:// is for this machine only)")
    return endpoint.rstrip("/")


def is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


class _AsAnswered(urllib.request.HTTPErrorProcessor):
    """Gives back every answer: no status is an exception, no redirect is followed."""

    def http_response(self, request: Any, response: Any) -> Any:
        return response

    https_response = http_response


class Connection:
    """Sends requests, each over a connection of its own. Safe for use by several threads.

    A proxy that the environment names is used, except to this machine: there plain
    http is allowed, and it must not leave.
    """

    def __init__(self, limits: Limits, clock: Callable[[], float] = time.monotonic) -> None:
        self._limits = limits
        self._clock = clock
        self._opener = urllib.request.build_opener(_AsAnswered())
        self._local = urllib.request.build_opener(_AsAnswered(), urllib.request.ProxyHandler({}))

    def __call__(self, request: Request) -> Answer:
        """Raises Unreachable."""
        prepared = urllib.request.Request(
            request.url, request.body, {"Accept-Encoding": "identity", **request.headers}, method=request.method
        )
        opener = self._local if is_loopback(urlsplit(request.url).hostname or "") else self._opener
        try:
            with opener.open(prepared, timeout=self._limits.seconds) as response:
                headers = {name.lower(): value for name, value in response.headers.items()}
                return Answer(response.status, headers, self._body(response, headers))
        except TimeoutError as late:
            raise TimedOut("no answer in time") from late
        except urllib.error.URLError as failed:
            if isinstance(failed.reason, TimeoutError):
                raise TimedOut("no answer in time") from failed
            raise Unreachable(f"no connection: {failed.reason}") from failed
        except (OSError, http.client.HTTPException, ValueError) as failed:
            raise Unreachable(f"no answer: {failed}") from failed

    def _body(self, response: http.client.HTTPResponse, headers: Mapping[str, str]) -> bytes:
        body = Body(self._limits, headers, self._clock)
        while piece := response.read1(1 << 16):
            body.add(piece)
        return body.end()


class Body:
    """Collects a body within the limits. Both ways to send, this one and the asynchronous one, use it."""

    def __init__(self, limits: Limits, headers: Mapping[str, str], clock: Callable[[], float]) -> None:
        if headers.get("content-encoding", "identity").lower() != "identity":
            raise Unreachable("the answer is compressed, which was not asked for")
        self._limits = limits
        self._clock = clock
        self._until = clock() + limits.seconds
        self._length = headers.get("content-length")
        self._pieces = bytearray()

    def add(self, piece: bytes) -> None:
        self._pieces += piece
        if len(self._pieces) > self._limits.size:
            raise Unreachable(f"the answer has more than {self._limits.size} bytes")
        if self._clock() > self._until:
            raise TimedOut("no answer in time")

    def end(self) -> bytes:
        # The standard library ends a body that was cut off as if it were whole.
        if self._length is not None and self._length != str(len(self._pieces)):
            raise Unreachable("the answer was cut off")
        return bytes(self._pieces)
