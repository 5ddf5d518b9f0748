"""The people, keys and tokens that a running server knows, when there is one.

KEYSTILE_TEST_ONA
    JSON, beside KEYSTILE_TEST_SERVER; without it the files that use this one have
    no tests. The server has the dialects of Ona under /prod, and of NAO.

        {"users": {"plain": {"username": "…", "password": "…"}, …},
         "api_key": "opa_prod_…", "asset": "INV-…", "site": "Sibaya", "other_site": "Umhlanga",
         "provider": {"name": "external-sso", "issuer": "…", "audience": "…", "secret": "…"},
         "issuer": "…", "jwt_secret": "…"}

    Each test that logs in with a code has a user of its own, because a code is
    accepted once; so has each that fails to log in often. ``totp_secret`` is in
    those users that have an authenticator app already.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import os
import time
from dataclasses import dataclass
from typing import Any

from issuer import hmac_signer, jwt

SERVER = os.environ.get("KEYSTILE_TEST_SERVER", "").rstrip("/")
WORLD: dict[str, Any] = json.loads(os.environ.get("KEYSTILE_TEST_ONA", "{}"))
ENDPOINT = SERVER + "/prod"

if WORLD and not SERVER:
    raise RuntimeError("KEYSTILE_TEST_ONA needs KEYSTILE_TEST_SERVER")


@dataclass(frozen=True)
class User:
    username: str
    password: str
    totp_secret: str = ""


def user(name: str) -> User:
    return User(**WORLD["users"][name])


def totp(secret: str, ahead: int = 0) -> str:
    """The code of an authenticator app (RFC 6238), or the one that it shows ``ahead`` steps later."""
    key = base64.b32decode(secret + "=" * (-len(secret) % 8))
    digest = hmac.digest(key, (int(time.time()) // 30 + ahead).to_bytes(8, "big"), hashlib.sha1)
    at = digest[-1] & 15
    return f"{(int.from_bytes(digest[at : at + 4], 'big') & 0x7FFFFFFF) % 10**6:06}"


def external_token(**changes: Any) -> str:
    """A token of the identity provider for the user "external"."""
    provider, now = WORLD["provider"], int(time.time())
    claims = {
        "iss": provider["issuer"],
        "aud": provider["audience"],
        "sub": "external-1",
        "email": user("external").username,
        "email_verified": True,
        "iat": now,
        "exp": now + 60,
    }
    return jwt(hmac_signer(provider["secret"].encode()), claims, **changes)
