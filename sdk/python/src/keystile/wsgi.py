"""Lets only requests with a session through to a WSGI application (PEP 3333)."""

from __future__ import annotations

from collections.abc import Iterable
from http import HTTPStatus
from typing import TYPE_CHECKING

from keystile._authorization import KEY, MISSING, Refusal, refusal_of, token_of
from keystile.session import KeysUnavailable, SessionRejected, SessionVerifier

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment


class SessionMiddleware:
    """Puts the SessionToken of the request into ``environ["keystile.session"]``.

    A request without a good token gets 401, and 503 while the server's keys cannot be
    had. With ``optional`` a request that carries no credential at all goes through, and
    the session is None. Answer CORS preflights before it: they carry none.
    """

    def __init__(self, app: WSGIApplication, verifier: SessionVerifier, *, optional: bool = False) -> None:
        self._app = app
        self._verifier = verifier
        self._optional = optional

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        environ[KEY] = None
        authorization = environ.get("HTTP_AUTHORIZATION")
        try:
            token = token_of([] if authorization is None else [authorization])
            if token is not None:
                environ[KEY] = self._verifier.verify(token)
            elif not self._optional:
                return _refuse(MISSING, start_response)
        except (SessionRejected, KeysUnavailable) as error:
            return _refuse(refusal_of(error), start_response)
        return self._app(environ, start_response)


def _refuse(refusal: Refusal, start_response: StartResponse) -> Iterable[bytes]:
    status = HTTPStatus(refusal.status)
    start_response(f"{status.value} {status.phrase}", refusal.all_headers)
    return [refusal.body]
