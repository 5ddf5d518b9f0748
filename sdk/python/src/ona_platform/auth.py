"""Logins, tokens and API keys: ``client.auth``."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from datetime import datetime, timezone
from typing import Any, Generic, TypedDict, TypeVar, cast

from keystile._http import Request
from ona_platform._calls import USER_AGENT, Call, broken, endpoint_of, required, required_credential
from ona_platform._claims import user_of
from ona_platform._senders import AsyncSender, Sender
from ona_platform.config import OnaConfig
from ona_platform.exceptions import AuthenticationError

T = TypeVar("T")


class LoginResult(TypedDict, total=False):
    """Either ``token`` and ``user``, or what is asked for before there is one."""

    token: str
    user: dict[str, Any]
    message: str
    mfa_required: bool
    mfa_token: str
    mfa_enrollment: bool
    provisioning_uri: str


class RefreshResult(TypedDict, total=False):
    """``expires_in`` is in seconds."""

    token: str
    expires_in: int


class CurrentUser(TypedDict):
    """The claims of the token about its user."""

    user_id: str | None
    username: str | None
    role_id: str | None
    customer_ids: list[str]
    group_id: str | None
    skin_id: str | None


class APIKeyInfo(TypedDict, total=False):
    """Times are ISO 8601; ``expires_at`` is None for a key that does not expire. ``is_expired`` is found out here."""

    api_key_id: str
    permitted_site_ids: list[str]
    expires_at: str | None
    created_at: str
    is_expired: bool


class APIKeyValidation(TypedDict, total=False):
    """``error`` says why a live key is not valid for the site."""

    valid: bool
    permitted_site_ids: list[str]
    error: str


_CHALLENGE = ("mfa_required", "mfa_token", "mfa_enrollment", "provisioning_uri")


class _Auth:
    """The token that is held, and every call but its sending."""

    def __init__(self, config: OnaConfig) -> None:
        self._endpoint = endpoint_of("auth_endpoint", config.auth_endpoint)
        self._token: str | None = None

    def __repr__(self) -> str:  # never shows the token
        return f"{type(self).__name__}(auth_endpoint={self._endpoint!r})"

    def set_token(self, token: str) -> None:
        """Takes a token that was obtained in another way. Raises ValidationError for what cannot be one."""
        self._token = required_credential("token", token)

    def get_token(self) -> str | None:
        """The token that is held, also when it is expired."""
        return self._token

    def is_authenticated(self) -> bool:
        """Whether a token is held. Only the server knows whether it is still good."""
        return self._token is not None

    def get_auth_header(self) -> dict[str, str]:
        """The header fields of a request with this token; none without one."""
        return {} if self._token is None else {"Authorization": f"Bearer {self._token}"}

    def get_current_user(self) -> CurrentUser:
        """Who the token says the user is. Raises AuthenticationError without one, and for one that is expired.

        Nothing is sent. The signature is not checked, so decide nothing by it: that
        is for whoever receives the token.
        """
        return cast(CurrentUser, user_of(self._held()))

    def _held(self) -> str:
        if self._token is None:
            raise AuthenticationError("Not authenticated: log in or set a token")
        return self._token

    def _post(
        self, path: str, body: Mapping[str, str] | None, finish: Callable[[dict[str, Any]], T], token: str | None = None
    ) -> Call[T]:
        headers = {"Accept": "application/json", "User-Agent": USER_AGENT}
        if token is not None:
            headers["Authorization"] = f"Bearer {token}"
        if body is not None:
            headers["Content-Type"] = "application/json"
        data = b"" if body is None else json.dumps(body).encode("ascii")
        return Call(Request("POST", f"{self._endpoint}/api/auth/{path}", headers, data), finish)

    def _login(self, username: str, password: str) -> Call[LoginResult]:
        body = {"username": required("username", username), "password": required("password", password)}
        # Whatever comes of it, this client is no longer who it was.
        self._token = None
        return self._post("login", body, self._signed_in)

    def _verify_mfa(self, mfa_token: str, totp_code: str) -> Call[LoginResult]:
        body = {"mfa_token": required("mfa_token", mfa_token), "totp_code": required("totp_code", totp_code)}
        return self._post("verify-mfa", body, self._signed_in)

    def _exchange(self, external_token: str, provider: str) -> Call[LoginResult]:
        body = {"external_token": required("external_token", external_token), "provider": required("provider", provider)}
        self._token = None
        return self._post("exchange", body, self._signed_in)

    def _refresh(self) -> Call[RefreshResult]:
        return self._post("refresh", None, self._refreshed, self._held())

    def _logout(self) -> Call[None] | None:
        token, self._token = self._token, None
        return None if token is None else self._post("logout", None, lambda members: None, token)

    def _api_key_info(self, api_key: str) -> Call[APIKeyInfo]:
        return self._post("api-key-info", {"api_key": required("api_key", api_key)}, _with_expiry)

    def _validate_api_key(self, api_key: str, site_id: str) -> Call[APIKeyValidation]:
        body = {"api_key": required("api_key", api_key), "site_id": required("site_id", site_id)}
        return self._post("validate-api-key", body, _validation)

    def _signed_in(self, members: dict[str, Any]) -> LoginResult:
        if members.get("mfa_required"):
            if not isinstance(members.get("mfa_token"), str):
                raise broken("an MFA challenge without mfa_token")
            return cast(LoginResult, {name: members[name] for name in _CHALLENGE if name in members})
        self._token = _token_of(members)
        return cast(LoginResult, members)

    def _refreshed(self, members: dict[str, Any]) -> RefreshResult:
        self._token = _token_of(members)
        return cast(RefreshResult, members)


def _token_of(members: dict[str, Any]) -> str:
    token = members.get("token")
    if not isinstance(token, str) or not token or not all("!" <= c <= "~" for c in token):
        raise broken("no token")
    return token


def _with_expiry(members: dict[str, Any]) -> APIKeyInfo:
    at = members.setdefault("expires_at", None)
    members["is_expired"] = at not in (None, "") and _is_past(at)
    return cast(APIKeyInfo, members)


def _is_past(at: object) -> bool:
    """Whether an ISO 8601 time has come; UTC if it names no zone. What cannot be read counts as past."""
    try:
        time = datetime.fromisoformat(at.replace("Z", "+00:00"))  # type: ignore[attr-defined]
    except (ValueError, AttributeError, TypeError):
        return True
    return time.replace(tzinfo=time.tzinfo or timezone.utc) <= datetime.now(timezone.utc)


def _validation(members: dict[str, Any]) -> APIKeyValidation:
    if not isinstance(members.get("valid"), bool):
        raise broken("no valid")
    return cast(APIKeyValidation, members)


class AuthClient(_Auth):
    """Logs in, keeps the token, and asks about API keys.

    A call is sent once and never again: logins and codes are counted. All raise
    ValidationError, AuthenticationError, RateLimitError, ServiceUnavailableError and
    TimeoutError as ``ona_platform.exceptions`` says.
    """

    def __init__(self, config: OnaConfig, sender: Sender) -> None:
        super().__init__(config)
        self._send = sender

    def login(self, username: str, password: str) -> LoginResult:
        """Logs in by name or e-mail address, and forgets the token held before.

        If the answer has ``mfa_required``, there is no token yet: ask for the code and
        call ``verify_mfa``. With ``mfa_enrollment`` show ``provisioning_uri`` as a QR code
        first. Otherwise the token is kept.
        """
        return self._send(self._login(username, password))

    def verify_mfa(self, mfa_token: str, totp_code: str) -> LoginResult:
        """Ends a login with the code of the authenticator app, and keeps the token."""
        return self._send(self._verify_mfa(mfa_token, totp_code))

    def refresh_token(self) -> RefreshResult:
        """Gets a new token for the one that is held, before that expires, and keeps it."""
        return self._send(self._refresh())

    def exchange_token(self, external_token: str, provider: str = "external") -> LoginResult:
        """Gets a token for one of an identity provider that the server knows by this name, and keeps it."""
        return self._send(self._exchange(external_token, provider))

    def logout(self) -> None:
        """Forgets the token and ends its session at the server, so that copies of it end too.

        The token is forgotten in any case. If the server could not be told, that is
        raised; a session that had already ended is no error.
        """
        if call := self._logout():
            try:
                self._send(call)
            except AuthenticationError:
                pass  # it had already ended

    def get_api_key_info(self, api_key: str) -> APIKeyInfo:
        """What the server knows of an API key. The key itself is the proof."""
        return self._send(self._api_key_info(api_key))

    def validate_api_key(self, api_key: str, site_id: str) -> APIKeyValidation:
        """Whether a live API key is good for a site. A key that is not live raises AuthenticationError."""
        return self._send(self._validate_api_key(api_key, site_id))


class AsyncAuthClient(_Auth):
    """AuthClient for asyncio."""

    def __init__(self, config: OnaConfig, sender: AsyncSender) -> None:
        super().__init__(config)
        self._send = sender

    async def login(self, username: str, password: str) -> LoginResult:
        """As AuthClient.login."""
        return await self._send(self._login(username, password))

    async def verify_mfa(self, mfa_token: str, totp_code: str) -> LoginResult:
        """As AuthClient.verify_mfa."""
        return await self._send(self._verify_mfa(mfa_token, totp_code))

    async def refresh_token(self) -> RefreshResult:
        """As AuthClient.refresh_token."""
        return await self._send(self._refresh())

    async def exchange_token(self, external_token: str, provider: str = "external") -> LoginResult:
        """As AuthClient.exchange_token."""
        return await self._send(self._exchange(external_token, provider))

    async def logout(self) -> None:
        """As AuthClient.logout."""
        if call := self._logout():
            try:
                await self._send(call)
            except AuthenticationError:
                pass  # it had already ended

    async def get_api_key_info(self, api_key: str) -> APIKeyInfo:
        """As AuthClient.get_api_key_info."""
        return await self._send(self._api_key_info(api_key))

    async def validate_api_key(self, api_key: str, site_id: str) -> APIKeyValidation:
        """As AuthClient.validate_api_key."""
        return await self._send(self._validate_api_key(api_key, site_id))
