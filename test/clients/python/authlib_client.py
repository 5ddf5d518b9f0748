"""A website with Authlib: code with PKCE, the ID token, refresh, introspection,
revocation; a program as itself; and one that proves itself with a key.

    authlib_client.py SITE_ID SITE_SECRET PROGRAM_ID PROGRAM_SECRET KEYED_ID KEYED_PRIVATE_KEY_PEM
"""

import os
import secrets
import sys
import time

import requests
from authlib.integrations.base_client.errors import OAuthError
from authlib.integrations.requests_client import OAuth2Session
from authlib.oauth2.rfc7523 import PrivateKeyJWT
from authlib.oidc.core import CodeIDToken
from joserfc import jwt
from joserfc.jwk import KeySet

ORIGIN, APIS, CALLBACK = os.environ["ORIGIN"], os.environ["APIS"], os.environ["CALLBACK_URI"]
SITES = APIS + "/api/v2/sites"


def check(condition: bool, what: str) -> None:
    if not condition:
        raise AssertionError(what)


def browse(url: str) -> str:
    """Sends the person at the browser to url, and returns where the browser ended."""
    print(url, flush=True)
    return input()


def refused(what: str, error: str, call) -> None:
    try:
        answer = call()
    except OAuthError as e:
        check(e.error == error, f"{what}: {e}")
        return
    raise AssertionError(f"{what} was not refused: {answer}")


def id_token(metadata: dict, raw: str, client_id: str, nonce: str, access_token: str) -> CodeIDToken:
    keys = KeySet.import_key_set(requests.get(metadata["jwks_uri"], timeout=30).json())
    token = jwt.decode(raw, keys, algorithms=metadata["id_token_signing_alg_values_supported"])
    claims = CodeIDToken(
        token.claims, token.header,
        options={"iss": {"values": [metadata["issuer"]]}, "aud": {"values": [client_id]}},
        params={"nonce": nonce, "client_id": client_id, "access_token": access_token},
    )
    claims.validate(now=int(time.time()), leeway=5)
    return claims


def website(metadata: dict, client_id: str, client_secret: str) -> None:
    session = OAuth2Session(
        client_id, client_secret, redirect_uri=CALLBACK, scope="openid profile sites:read", code_challenge_method="S256",
        token_endpoint=metadata["token_endpoint"],
    )
    verifier, nonce = secrets.token_urlsafe(48), secrets.token_urlsafe(16)
    url, state = session.create_authorization_url(metadata["authorization_endpoint"], code_verifier=verifier, nonce=nonce)
    back = browse(url)
    refused(
        "another verifier", "invalid_grant",
        lambda: session.fetch_token(metadata["token_endpoint"], authorization_response=back, state=state, code_verifier=verifier[::-1]),
    )
    token = session.fetch_token(metadata["token_endpoint"], authorization_response=back, state=state, code_verifier=verifier)
    claims = id_token(metadata, token["id_token"], client_id, nonce, token["access_token"])
    told = session.get(metadata["userinfo_endpoint"]).json()
    check(told["sub"] == claims["sub"] and told["name"] == "Ann Archer", f"userinfo: {told}")
    sites = session.get(SITES)
    check(sites.status_code == 200 and sites.json()["subject"] == "user:" + claims["sub"], sites.text)

    # The library takes a new token by itself when this one has ended.
    first = token["refresh_token"]
    session.token = {**token, "expires_at": 1}
    check(session.get(SITES).status_code == 200 and session.token["refresh_token"] != first, "the token was not refreshed")

    ask = session.introspect_token(metadata["introspection_endpoint"], token=session.token["access_token"]).json()
    check(ask["active"] and ask["sub"] == claims["sub"] and "sites:read" in ask["scope"].split(), f"introspection: {ask}")
    spent = session.token["refresh_token"]
    session.revoke_token(metadata["revocation_endpoint"], token=spent, token_type_hint="refresh_token")
    refused("a revoked refresh token", "invalid_grant", lambda: session.refresh_token(metadata["token_endpoint"], refresh_token=spent))
    ask = session.introspect_token(metadata["introspection_endpoint"], token=session.token["access_token"]).json()
    check(ask == {"active": False}, f"introspection after the end: {ask}")


def program(metadata: dict, client_id: str, client_secret: str) -> None:
    for method in ("client_secret_basic", "client_secret_post"):
        session = OAuth2Session(client_id, client_secret, token_endpoint_auth_method=method)
        token = session.fetch_token(metadata["token_endpoint"], grant_type="client_credentials", scope="sites:read")
        check(token["token_type"] == "Bearer" and "refresh_token" not in token, f"{method}: {token}")
        sites = session.get(SITES)
        check(sites.status_code == 200 and sites.json()["subject"] == "client:" + client_id, sites.text)


def keyed(metadata: dict, client_id: str, private_key: str) -> None:
    session = OAuth2Session(client_id, private_key, token_endpoint_auth_method="private_key_jwt")
    session.register_client_auth_method(PrivateKeyJWT(metadata["token_endpoint"], headers={"kid": "k1"}, alg="RS256"))
    session.fetch_token(metadata["token_endpoint"], grant_type="client_credentials", scope="sites:read")
    check(session.get(SITES).status_code == 200, "the API refuses the token")


def main(arguments: list[str]) -> None:
    metadata = requests.get(ORIGIN + "/.well-known/openid-configuration", timeout=30).json()
    website(metadata, *arguments[:2])
    program(metadata, *arguments[2:4])
    keyed(metadata, *arguments[4:])
    print("authlib: done")


main(sys.argv[1:])
