"""The three forms against a running server, when there is one.

Two environment variables, set together; without them this file has no tests:

KEYSTILE_TEST_SERVER
    The base URL of a Keystile gateway, as its routes match it: http://127.0.0.1:8080

KEYSTILE_TEST_BANK
    JSON: the signing keys the server knows, with what signs, and requests that
    a route with ``accept: [onetime]`` lets each of them make with status 200.

        {"keys": [{"organization": "bank-x", "api_key": "demo-api-key",
                   "algorithm": "HS256", "secret": "demo-secret"},
                  {"organization": "bank-x", "api_key": "rsa-1",
                   "algorithm": "RS256", "private_key": "-----BEGIN PRIVATE KEY-----…"}],
         "requests": [{"method": "GET", "path": "/finapi/profiles/owner"},
                      {"method": "POST", "path": "/finapi/payments/deposit", "body": "{}"}]}
"""

from __future__ import annotations

import json
import os
import urllib.error
import urllib.request
from itertools import product
from typing import Any

import pytest
from shared import signer_of

SERVER = os.environ.get("KEYSTILE_TEST_SERVER", "").rstrip("/")
BANK: dict[str, Any] = json.loads(os.environ.get("KEYSTILE_TEST_BANK", "{}"))

if bool(SERVER) != bool(BANK):
    raise RuntimeError("set KEYSTILE_TEST_SERVER and KEYSTILE_TEST_BANK together")

if SERVER:
    # The server is asked directly, whatever proxy the environment names.
    _OPENER = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    _CASES = list(product(BANK["keys"], BANK["requests"]))
    if not _CASES:
        raise RuntimeError("KEYSTILE_TEST_BANK has no keys or no requests")

    def status(method: str, path: str, headers: dict[str, str], body: bytes | None) -> int:
        request = urllib.request.Request(SERVER + path, body, headers, method=method)
        try:
            with _OPENER.open(request, timeout=10) as answer:
                return int(answer.status)
        except urllib.error.HTTPError as refused:
            with refused:
                return refused.code

    def label(value: dict[str, Any]) -> str:
        return str(value.get("api_key") or value["method"])

    @pytest.mark.parametrize(("key", "request_"), _CASES, ids=label)
    @pytest.mark.parametrize("form", ["header", "jwt", "http_signature"])
    def test_a_signed_request_is_granted_once(form: str, key: dict[str, str], request_: dict[str, str]) -> None:
        signer, method, path = signer_of(key), request_["method"], request_["path"]
        body = request_["body"].encode() if "body" in request_ else None
        plain = {"Content-Type": "application/json"} if body else {}
        for _ in range(2):  # signing again is another request
            if form == "http_signature":
                headers = signer.sign_request(method, SERVER + path, plain, body)
            else:
                headers = plain | {"Authorization": signer.header() if form == "header" else signer.jwt()}
            assert status(method, path, headers, body) == 200
            assert status(method, path, headers, body) == 401

    @pytest.mark.parametrize(("key", "request_"), _CASES, ids=label)
    def test_a_message_signature_fits_one_target_only(key: dict[str, str], request_: dict[str, str]) -> None:
        method, path = request_["method"], request_["path"]
        body = request_["body"].encode() if "body" in request_ else None
        headers = signer_of(key).sign_request(method, SERVER + path, {}, body)
        assert status(method, path + "?changed=1", headers, body) == 401
        # The refusal spent nothing: the request that was signed is still granted.
        assert status(method, path, headers, body) == 200
