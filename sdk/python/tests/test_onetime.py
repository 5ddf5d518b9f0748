"""What the signer makes by itself, and what it refuses."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)
from shared import KEYS, NONCE, NOW, is_good, message_base, message_signature, read_header, read_jwt, signer_of

from keystile import OneTimeSigner, SignError

URL = "https://bank.example/finapi/x"


def make(**changes: Any) -> OneTimeSigner:
    arguments: dict[str, Any] = {"organization": "bank-x", "api_key": "k", "algorithm": "HS256", "secret": "s"}
    return OneTimeSigner(**(arguments | changes))


def target_uri(url: str, headers: dict[str, str] | None = None) -> str:
    """The URI that was signed for a URL, found by trying the signature on it."""
    key = KEYS["hs"]
    signed = signer_of(key).sign_request("GET", url, headers, nonce=NONCE, now=NOW)
    for uri in ("https://bank.example/", "https://bank.example/a?b=1", "https://other.example/a?b=1",
                "https://bank.example:8443/a", "http://[::1]/a", "http://[::1]:8080/a", "https://bank.example/a",
                "https://bank.example/?b"):  # fmt: skip
        if is_good(key, message_base("GET", uri, signed), message_signature(signed)):
            return uri
    return "none of them"


def test_every_signature_has_its_own_nonce() -> None:
    signer = make()
    nonces = {read_header(signer.header())[0]["nonce"] for _ in range(200)}
    assert len(nonces) == 200
    assert all(len(nonce) == 32 and int(nonce, 16) >= 0 for nonce in nonces)
    inputs = {signer.sign_request("GET", URL)["Signature-Input"] for _ in range(200)}
    assert len(inputs) == 200


def test_a_jwt_nonce_ends_with_the_time_of_the_token() -> None:
    _, claims, _, _ = read_jwt(make().jwt())
    assert len(claims["nonce"]) == 64
    assert int(claims["nonce"][48:], 16) == claims["iat"]


def test_the_time_is_the_clocks_in_whole_seconds(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("time.time", lambda: NOW + 0.999)
    assert read_header(make().header())[0]["timestamp"] == NOW
    assert read_jwt(make().jwt())[1]["iat"] == NOW
    assert f";created={NOW};" in make().sign_request("GET", URL)["Signature-Input"]


def test_other_header_fields_stay_and_an_earlier_signature_goes() -> None:
    given = {"Accept": "text/plain", "signature": "old", "SIGNATURE-INPUT": "old", "content-digest": "old"}
    signed = make().sign_request("GET", URL, given)
    assert sorted(signed) == ["Accept", "Signature", "Signature-Input"]
    assert len(given) == 4


def test_an_empty_body_has_no_digest() -> None:
    for body in (None, b""):
        assert "Content-Digest" not in make().sign_request("POST", URL, {}, body)


@pytest.mark.parametrize(
    ("url", "signed"),
    [
        ("https://bank.example", "https://bank.example/"),
        ("HTTPS://Bank.Example:443/a?b=1#fragment", "https://bank.example/a?b=1"),
        ("https://bank.example:8443/a", "https://bank.example:8443/a"),
        ("https://bank.example:/a?", "https://bank.example/a"),
        ("https://bank.example?b", "https://bank.example/?b"),
        ("http://[::1]:80/a", "http://[::1]/a"),
        ("http://[::1]:8080/a", "http://[::1]:8080/a"),
    ],
)
def test_the_url_is_signed_as_it_goes_over_the_wire(url: str, signed: str) -> None:
    assert target_uri(url) == signed


def test_a_host_of_its_own_is_signed_in_the_urls_place() -> None:
    assert target_uri("https://10.0.0.7:8443/a?b=1", {"host": "other.example"}) == "https://other.example/a?b=1"


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"secret": ""}, "secret is empty"),
        ({"secret": b""}, "secret is empty"),
        ({"secret": None}, "secret is empty"),
        ({"secret": 7}, "secret is str or bytes, not int"),
        ({"private_key": "x"}, "HS256 signs with secret"),
        ({"algorithm": "none"}, "algorithm 'none' is not supported; use one of HS256, RS256, ES256, EdDSA"),
        ({"algorithm": "HS512"}, "not supported"),
        ({"algorithm": "hs256"}, "not supported"),
        ({"algorithm": "RS256"}, "RS256 signs with private_key, not with secret"),
        ({"algorithm": "RS256", "secret": None}, "RS256 needs private_key"),
        ({"algorithm": "RS256", "secret": None, "private_key": ""}, "RS256 needs private_key"),
        ({"algorithm": "RS256", "secret": None, "private_key": "x"}, "not a private key in PEM"),
        ({"algorithm": "RS256", "secret": None, "private_key": KEYS["rs"]["public_key"]}, "not a private key in PEM"),
        ({"algorithm": "RS256", "secret": None, "private_key": KEYS["es"]["private_key"]}, "RS256 needs an RSA key"),
        ({"algorithm": "ES256", "secret": None, "private_key": KEYS["ed"]["private_key"]}, "ES256 needs a key on"),
        ({"algorithm": "EdDSA", "secret": None, "private_key": KEYS["rs"]["private_key"]}, "EdDSA needs an Ed25519"),
        ({"organization": ""}, "organization is printable ASCII"),
        ({"organization": "bank x"}, "organization is printable ASCII"),
        ({"api_key": "k\n"}, "api_key is printable ASCII"),
        ({"api_key": None}, "api_key is printable ASCII"),
    ],
)
def test_a_signer_that_could_not_sign_is_refused_at_once(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(SignError, match=message):
        make(**changes)


def test_keys_that_are_too_small_or_on_another_curve_are_refused() -> None:
    small = rsa.generate_private_key(public_exponent=65537, key_size=1024)
    with pytest.raises(SignError, match="1024 bits; use 2048 to 8192"):
        make(algorithm="RS256", secret=None, private_key=small)
    with pytest.raises(SignError, match="curve P-256"):
        make(algorithm="ES256", secret=None, private_key=ec.generate_private_key(ec.SECP384R1()))


def test_an_encrypted_key_is_refused_with_what_to_do() -> None:
    pem = ed25519.Ed25519PrivateKey.generate().private_bytes(
        Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(b"x")
    )
    with pytest.raises(SignError, match="encrypted; decrypt it first"):
        make(algorithm="EdDSA", secret=None, private_key=pem)


@pytest.mark.parametrize("name", ["rs", "es", "ed"])
def test_every_encoding_of_a_private_key_is_read(name: str) -> None:
    given = KEYS[name]
    key: Any = load_pem_private_key(given["private_key"].encode(), None)
    formats = [PrivateFormat.PKCS8] + ([PrivateFormat.TraditionalOpenSSL] if name != "ed" else [])
    encodings: list[Any] = [key.private_bytes(Encoding.PEM, f, NoEncryption()) for f in formats]
    for private_key in [*encodings, encodings[0].decode(), key]:
        signer = make(algorithm=given["algorithm"], secret=None, private_key=private_key)
        _, text, signature = read_header(signer.header())
        assert is_good(given, text, signature)


def test_an_es256_signature_always_has_64_bytes() -> None:
    signer = signer_of(KEYS["es"])
    for _ in range(600):  # one in 128 has a leading zero in r or s
        _, text, signature = read_header(signer.header())
        assert len(signature) == 64 and is_good(KEYS["es"], text, signature)


@pytest.mark.parametrize("nonce", ["", "short", "x" * 15, "x" * 129, "x" * 16 + " ", "x" * 16 + "\n", "ü" * 16, 7])
def test_a_nonce_that_the_server_would_refuse_is_not_signed(nonce: Any) -> None:
    for sign in (make().header, make().jwt):
        with pytest.raises(SignError, match="nonce is 16 to 128"):
            sign(nonce=nonce)
    with pytest.raises(SignError, match="nonce is 16 to 128"):
        make().sign_request("GET", URL, nonce=nonce)


@pytest.mark.parametrize("now", [1700000000.0, "1700000000", True, -1, 1 << 63])
def test_a_time_that_is_no_integer_is_not_signed(now: Any) -> None:
    with pytest.raises(SignError, match="whole seconds"):
        make().header(now=now)


@pytest.mark.parametrize(
    ("method", "url", "body", "message"),
    [
        ("get", URL, None, "capital letters"),
        ("GET ", URL, None, "capital letters"),
        ("", URL, None, "capital letters"),
        ("GET", "/finapi/x", None, "absolute"),
        ("GET", "ftp://bank.example/x", None, "http:// or https://"),
        ("GET", "https:///x", None, "absolute"),
        ("GET", "https://user:pass@bank.example/x", None, "user name"),
        ("GET", "https://bank.example/a b", None, "percent-encode"),
        ("GET", "https://bank.example/ü", None, "percent-encode"),
        ("GET", "https://bank.example/a|b", None, "percent-encode"),
        ("GET", "https://bank.example/a\nb", None, "percent-encode"),
        ("GET", "https://bank.example:port/", None, "cannot be read"),
        ("POST", URL, "text", "body is bytes, not str"),
        ("POST", URL, b"x" * 65537, "at most 65536 bytes; this has 65537"),
    ],
)
def test_a_request_that_would_be_refused_is_not_signed(method: str, url: str, body: Any, message: str) -> None:
    with pytest.raises(SignError, match=message):
        make().sign_request(method, url, {}, body)


def test_the_largest_body_is_signed() -> None:
    assert "Content-Digest" in make().sign_request("POST", URL, {}, b"x" * 65536)


def test_nothing_printable_shows_the_secret() -> None:
    signer = make(secret="very-secret")
    assert "very-secret" not in repr(signer) + str(signer)
    assert "bank-x" in repr(signer)


def test_hs256_needs_nothing_but_the_standard_library() -> None:
    """The package is used where cryptography cannot be imported; the other algorithms then say what to install."""
    source = Path(__file__).resolve().parents[1] / "src"
    program = f"""
import sys
sys.path.insert(0, {str(source)!r})
sys.modules["cryptography"] = None
from keystile import OneTimeSigner, SignError
signer = OneTimeSigner(organization="o", api_key="k", algorithm="HS256", secret="s")
signer.header(); signer.jwt(); signer.sign_request("POST", "https://bank.example/", {{}}, b"x")
try:
    OneTimeSigner(organization="o", api_key="k", algorithm="ES256", private_key="x")
except SignError as refused:
    print(refused)
"""
    ran = subprocess.run([sys.executable, "-I", "-B", "-c", program], capture_output=True, text=True, check=True)
    assert ran.stdout.strip() == "ES256 needs the package cryptography: pip install 'keystile[crypto]'"
