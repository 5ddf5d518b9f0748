"""A client of Ona's auth service over AWS Lambda Invoke, as the platform's own Python SDK behaves.

That SDK cannot be installed from a registry, so this one does what was observed of it:
the same events, the same reading of the answer, the same repetitions and the same
exceptions, including those that its documentation does not intend. It must not be
made better: servers are tested against how the real one is.

The endpoint is taken from ``AWS_ENDPOINT_URL_LAMBDA``, the credentials from the
environment, both by boto3.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable
from typing import Any

import boto3  # type: ignore[import-untyped]
from botocore.exceptions import ClientError  # type: ignore[import-untyped]

from ona_platform.exceptions import (
    AuthenticationError,
    OnaError,
    ResourceNotFoundError,
    ServiceUnavailableError,
    TimeoutError,
    ValidationError,
)

PAUSES = (1.0, 2.0, 4.0)


class LambdaAuthClient:
    """``auth_endpoint`` only chooses the function's name: nothing is sent there."""

    def __init__(self, auth_endpoint: str, sleep: Callable[[float], None] = time.sleep) -> None:
        self.function = function_of(auth_endpoint)
        self.token: str | None = None
        self._sleep = sleep
        self._lambda = boto3.client("lambda", region_name=os.environ.get("AWS_REGION", "af-south-1"))

    def login(self, username: str, password: str) -> dict[str, Any]:
        event = _event("login", {"username": username, "password": password})
        result = self._translated("Authentication failed", event)
        if result.get("mfa_required"):
            challenge = {"mfa_required": True, "mfa_token": result.get("mfa_token")}
            if result.get("mfa_enrollment"):
                challenge |= {"mfa_enrollment": True, "provisioning_uri": result.get("provisioning_uri")}
            return challenge
        return self._kept(result)

    def verify_mfa(self, mfa_token: str, totp_code: str) -> dict[str, Any]:
        event = _event("verify-mfa", {"mfa_token": mfa_token, "totp_code": totp_code})
        return self._kept(self._translated("MFA verification failed", event))

    def refresh_token(self) -> dict[str, Any]:
        if not self.token:
            raise AuthenticationError("Not authenticated")
        event = {"httpMethod": "POST", "path": "/api/auth/refresh", "headers": {"Authorization": f"Bearer {self.token}"}}
        try:
            return self._kept(self.invoke(event))
        except Exception as failed:
            raise AuthenticationError(f"Failed to refresh token: {failed}") from failed

    def get_api_key_info(self, api_key: str) -> dict[str, Any]:
        return self._translated("Failed to get API key info", _event("api-key-info", {"api_key": api_key}))

    def validate_api_key(self, api_key: str, site_id: str) -> dict[str, Any]:
        event = _event("validate-api-key", {"api_key": api_key, "site_id": site_id})
        return self._translated("Failed to validate API key", event)

    def exchange_token(self, external_token: str, provider: str = "external") -> dict[str, Any]:
        event = _event("exchange", {"external_token": external_token, "provider": provider})
        return self._kept(self._translated("Token exchange failed", event))

    def invoke(self, event: dict[str, Any]) -> dict[str, Any]:
        """Sends an event, and again after each pause while the service is unavailable."""
        for pause in PAUSES:
            try:
                return self._once(event)
            except (ServiceUnavailableError, TimeoutError):
                self._sleep(pause)
        return self._once(event)

    def _translated(self, what: str, event: dict[str, Any]) -> dict[str, Any]:
        """Everything but an AuthenticationError, which ``invoke`` never raises, is an outage to this client."""
        try:
            return self.invoke(event)
        except ServiceUnavailableError:
            raise
        except Exception as failed:
            raise ServiceUnavailableError(f"{what}: {failed}") from failed

    def _kept(self, result: dict[str, Any]) -> dict[str, Any]:
        if "token" in result:
            self.token = result["token"]
        return result

    def _once(self, event: dict[str, Any]) -> dict[str, Any]:
        try:
            answer = self._lambda.invoke(
                FunctionName=self.function, InvocationType="RequestResponse", Payload=json.dumps(event)
            )
            result: dict[str, Any] = json.loads(answer["Payload"].read().decode("utf-8"))
        except ClientError as failed:
            raise ServiceUnavailableError(f"Lambda invocation failed: {failed}") from failed
        except json.JSONDecodeError as failed:
            raise ServiceUnavailableError(f"Invalid response from service: {failed}") from failed
        if "statusCode" not in result:
            return result
        body = result.get("body", {})
        if result["statusCode"] >= 400:
            # A body that is a text has no get: the AttributeError is the real client's too.
            raise _error(result["statusCode"], body.get("error", "Request error"))
        return json.loads(body) if isinstance(body, str) else body  # type: ignore[no-any-return]


def function_of(auth_endpoint: str) -> str:
    """The function's name: the first of these words that is anywhere in the URL decides."""
    if "staging" in auth_endpoint:
        return "ona-user-auth-staging"
    if "dev" in auth_endpoint or "localhost" in auth_endpoint:
        return "ona-user-auth-dev"
    return "ona-user-auth-prod"


def _event(name: str, body: dict[str, str]) -> dict[str, Any]:
    return {"httpMethod": "POST", "path": f"/api/auth/{name}", "body": json.dumps(body)}


def _error(status: int, text: str) -> OnaError:
    if status >= 500:
        return ServiceUnavailableError(f"Service error: {text}")
    if status == 404:
        return ResourceNotFoundError(text)
    if status == 400:
        return ValidationError(text)
    return ServiceUnavailableError(f"Request error: {text}")
