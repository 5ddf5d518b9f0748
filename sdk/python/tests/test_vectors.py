"""Every language signs the same bytes."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest
from shared import (
    KEYS,
    NONCE,
    NOW,
    SERVER_CASES,
    VECTORS,
    is_good,
    message_base,
    message_signature,
    read_header,
    read_jwt,
    signer_of,
    unpadded,
)


def named(case: dict[str, Any]) -> str:
    return str(case["name"])


def of_form(*forms: str) -> list[dict[str, Any]]:
    cases = [case for case in VECTORS["cases"] if case["form"] in forms]
    assert cases, forms
    return cases


@pytest.mark.parametrize("case", of_form("header", "jwt"), ids=named)
def test_authorization_fields_are_those_of_the_shared_vectors(case: dict[str, Any]) -> None:
    key = KEYS[case["key"]]
    signer = signer_of(key)
    make = signer.header if case["form"] == "header" else signer.jwt
    got = make(nonce=case["nonce"], now=case["time"])
    if case["deterministic"]:
        assert got == case["authorization"]
    if case["form"] == "header":
        (fields, text, signature), (expected, *_) = read_header(got), read_header(case["authorization"])
        assert list(fields) == ["organization", "apiKey", "nonce", "timestamp", "accessToken"]
        assert is_good(key, text, signature)
        assert fields | {"accessToken": ""} == expected | {"accessToken": ""}
    else:
        head, claims, text, signature = read_jwt(got)
        assert is_good(key, text, signature)
        assert got.rpartition(".")[0] == case["authorization"].rpartition(".")[0]
        assert head == {"alg": key["algorithm"]}
        assert claims["exp"] == claims["iat"] + 30


@pytest.mark.parametrize("case", of_form("http_signature"), ids=named)
def test_message_signatures_are_those_of_the_shared_vectors(case: dict[str, Any]) -> None:
    key, request = KEYS[case["key"]], case["request"]
    got = signer_of(key).sign_request(
        request["method"], request["url"], {}, request["body"].encode(), nonce=case["nonce"], now=case["time"]
    )
    assert got["Signature-Input"] == case["signature_input"]
    assert got.get("Content-Digest") == case.get("content_digest")
    if case["deterministic"]:
        assert got["Signature"] == case["signature"]
    # The text is rebuilt here letter for letter, and what was signed is that text.
    assert is_good(key, case["signed"].encode(), message_signature(got))
    assert is_good(key, case["signed"].encode(), message_signature({"Signature": case["signature"]}))


def canonical_cases() -> list[dict[str, Any]]:
    """The accepted cases written as clients write them, which a helper must give back byte for byte."""
    variants = ("upper-case hex", "unknown member", "without padding", "embedded jwk", "with typ", "key in sub")
    return [c for c in SERVER_CASES["cases"] if c["accept"] and not any(v in c["name"] for v in variants)]


@pytest.mark.parametrize("case", canonical_cases(), ids=named)
def test_what_the_server_accepts_is_signed_again_byte_for_byte(case: dict[str, Any]) -> None:
    signer = signer_of(SERVER_CASES["keys"][case["key"]])
    value = case["authorization"].removeprefix("Bearer ")
    if case["form"] == "header":
        # One of them is written in the other alphabet, which is not how clients write it.
        fields = json.loads(base64.b64decode(value.replace("-", "+").replace("_", "/"), validate=True))
        got = signer.header(nonce=fields["nonce"], now=fields["timestamp"])
        assert got == "Bearer " + value.replace("-", "+").replace("_", "/")
    else:
        claims = json.loads(unpadded(value.split(".")[1]))
        assert signer.jwt(nonce=claims["nonce"], now=claims["iat"]) == "Bearer " + value


def test_enough_of_the_servers_cases_are_signed_again() -> None:
    assert len(canonical_cases()) >= 12


def test_the_published_hs256_vectors_are_met() -> None:
    signer = signer_of(KEYS["hs"])
    fields, _, _ = read_header(signer.header(nonce=NONCE, now=NOW))
    assert fields["accessToken"] == "e9b50e4fb31a3a6e5a2f0a971467c4e00d7a1fc0b32d8ab5f070f24eeff97bcc"
    token = signer.jwt(nonce="01" * 24 + "000000006553f100", now=NOW)
    assert token.endswith(".kibvhxsoi6Mb31wgNPI_S8FZMB_hkA_2rT9F4tuqCB0")


@pytest.mark.parametrize("name", sorted(KEYS))
def test_a_changed_request_no_longer_fits_its_signature(name: str) -> None:
    key, url = KEYS[name], "https://bank.example/finapi/x"
    headers = signer_of(key).sign_request("POST", url, {}, b"{}")
    signature = message_signature(headers)
    assert is_good(key, message_base("POST", url, headers), signature)
    assert not is_good(key, message_base("PUT", url, headers), signature)
    assert not is_good(key, message_base("POST", url + "?a=1", headers), signature)
    other = headers | {"Content-Digest": signer_of(key).sign_request("POST", url, {}, b"{ }")["Content-Digest"]}
    assert not is_good(key, message_base("POST", url, other), signature)
