"""Which session tokens are accepted, and that no other is."""

from __future__ import annotations

import base64
import json
import threading
from typing import Any

import pytest
from issuer import CLAIMS, ISSUER, KEYS, NOW, ONA_CLAIMS, SECRET, SMALL_RSA, Key, b64, hmac_signer, jwt, key_set
from stub import Stub, reply

from keystile import _jwks
from keystile._http import Answer, Request, Unreachable
from keystile.session import KeysUnavailable, SessionRejected, SessionVerifier

HS = hmac_signer(SECRET.encode())
ED = KEYS["ed"]


@pytest.fixture
def verifier(stub: Stub) -> SessionVerifier:
    stub.replies = [reply(200, key_set())]
    return SessionVerifier(jwks_url=stub.url + "/.well-known/jwks.json", issuer=ISSUER, clock=lambda: NOW)


@pytest.fixture
def shared() -> SessionVerifier:
    return SessionVerifier(secret=SECRET, clock=lambda: NOW)


def reason(verifier: SessionVerifier, token: Any) -> str:
    with pytest.raises(SessionRejected) as caught:
        verifier.verify(token)
    assert not isinstance(token, str) or len(token) < 5 or token not in str(caught.value)
    return caught.value.reason


@pytest.mark.parametrize("name", sorted(KEYS))
def test_a_token_signed_by_a_published_key_is_accepted(verifier: SessionVerifier, name: str) -> None:
    session = verifier.verify(jwt(KEYS[name], more={"a": [1]}))
    assert (session.subject, session.session_id, session.expires_at) == ("u1", "s1", NOW + 60)
    assert session.claims == CLAIMS | {"more": {"a": [1]}}


def test_a_token_of_onas_dialect_is_accepted_by_its_secret(shared: SessionVerifier) -> None:
    session = shared.verify(jwt(HS, ONA_CLAIMS))
    assert (session.subject, session.session_id, session.expires_at) == ("u1", "s1", NOW + 60)
    assert session.claims["customer_ids"] == ["c1"]


def test_threat_01_a_key_checks_its_own_algorithm_only(verifier: SessionVerifier) -> None:
    """Every key with every algorithm in the header, signed by the key, by none, and by HMAC under what is public of it."""
    for key in KEYS.values():
        public = [json.dumps(key.jwk).encode(), *(v.encode() for v in key.jwk.values() if isinstance(v, str))]
        public += [base64.urlsafe_b64decode(v + "==") for v in (key.jwk.get("x"), key.jwk.get("n")) if v]
        signers = [key.sign, lambda text: b"", *(hmac_signer(data) for data in public)]
        for algorithm in ("HS256", "HS512", "none", "None", "", None, "EdDSA", "ES256", "RS256", "PS256", "ES384", ["EdDSA"]):
            for sign in signers:
                if (algorithm, sign) == (key.algorithm, key.sign):
                    continue
                header = {"alg": algorithm, "typ": "JWT", "kid": key.jwk["kid"]}
                token = jwt(sign, header=header)
                expected = "malformed" if token.endswith(".") else "signature" if algorithm == key.algorithm else "algorithm"
                assert reason(verifier, token) == expected


def test_threat_01_a_shared_secret_checks_hs256_only(shared: SessionVerifier) -> None:
    for algorithm in ("HS512", "none", "RS256", "EdDSA", "hs256", "", None):
        assert reason(shared, jwt(HS, ONA_CLAIMS, {"alg": algorithm, "typ": "JWT"})) == "algorithm"
    assert reason(shared, jwt(HS, ONA_CLAIMS, {"typ": "JWT"})) == "algorithm"
    assert reason(shared, jwt(hmac_signer(b"another secret of thirty-two bytes"), ONA_CLAIMS)) == "signature"
    assert reason(shared, jwt(ED, ONA_CLAIMS)) == "algorithm"


def test_a_secret_in_a_public_set_is_no_key(stub: Stub) -> None:
    stub.replies = [reply(200, {"keys": [{"kty": "oct", "k": b64(SECRET), "kid": "hs", "alg": "HS256"}]})]
    verifier = SessionVerifier(jwks_url=stub.url, issuer=ISSUER, clock=lambda: NOW)
    assert reason(verifier, jwt(HS, header={"alg": "HS256", "kid": "hs"})) == "unknown_key"


@pytest.mark.parametrize("name", sorted(KEYS))
def test_every_bit_of_a_token_counts(verifier: SessionVerifier, name: str) -> None:
    token = jwt(KEYS[name])
    alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
    for at, c in enumerate(token):
        if c == ".":
            continue
        for bit in range(6):
            changed = token[:at] + alphabet[alphabet.index(c) ^ 1 << bit] + token[at + 1 :]
            with pytest.raises(SessionRejected):
                verifier.verify(changed)


@pytest.mark.parametrize("name", sorted(KEYS))
def test_a_signature_has_one_spelling(verifier: SessionVerifier, name: str) -> None:
    """Two numbers of 32 bytes stay the same numbers with a zero before them."""
    key = KEYS[name]

    def longer(at: int) -> str:
        return jwt(lambda text: (s := key.sign(text))[:at] + b"\0" + s[at:], header={"alg": key.algorithm, "kid": name})

    for at in (0, 32, 64):
        assert reason(verifier, longer(at)) == "signature"


def test_every_part_of_a_token_is_needed(verifier: SessionVerifier) -> None:
    token = jwt(ED)
    for cut in range(len(token)):
        for part in (token[:cut], token[cut + 1 :]):
            with pytest.raises(SessionRejected):
                verifier.verify(part)


@pytest.mark.parametrize(
    "token",
    [
        None,
        b"a.b.c",
        "",
        ".",
        "..",
        "a.b.c",
        "a.b.c.d",
        "a.b.c.d.e",
        "Bearer " + jwt(ED),
        jwt(ED) + "\n",
        jwt(ED) + "=",
        jwt(ED) + ".",
        jwt(ED) + ".x",
        " " + jwt(ED),
        jwt(ED, "not json"),
        jwt(ED, "[]"),
        jwt(ED, "null"),
        jwt(ED, '"text"'),
        jwt(ED, '{"sub": "u1", "sub": "u2"}'),
        jwt(ED, '{"exp": NaN}'),
        jwt(ED, '{"exp": ' + "9" * 5000 + "}"),
        jwt(ED, "[" * 5000),
        jwt(ED, '{"a":' * 1000 + "1" + "}" * 1000),
        jwt(ED, header="not json"),
        jwt(ED, header='{"alg": "EdDSA", "alg": "none", "kid": "ed"}'),
        jwt(ED, filler="x" * 8192),
        jwt(ED, filler="x" * 3000, header={"alg": "EdDSA", "kid": "ed", "filler": "x" * 3000}),
        jwt(ED, "\ud800".encode("utf-8", "surrogatepass").decode("latin-1")),
    ],
)
def test_what_is_no_token_is_malformed(verifier: SessionVerifier, token: Any) -> None:
    assert reason(verifier, token) == "malformed"


@pytest.mark.parametrize(
    "extra",
    [
        {"crit": ["exp"]},
        {"crit": []},
        {"b64": True},
        {"b64": False, "crit": ["b64"]},
        {"zip": "DEF"},
        {"enc": "A256GCM"},
        {"jwk": ED.jwk},
        {"jku": "https://attacker.example/jwks"},
        {"x5u": "https://attacker.example/cert"},
        {"x5c": []},
    ],
)
def test_a_header_that_brings_its_own_key_or_rules_is_malformed(
    verifier: SessionVerifier, stub: Stub, extra: dict[str, Any]
) -> None:
    assert reason(verifier, jwt(ED, header={"alg": "EdDSA", "typ": "JWT", "kid": "ed"} | extra)) == "malformed"
    assert stub.seen == []


@pytest.mark.parametrize("kid", [None, "", "ED", "ed ", "../ed", "ed' OR '1'='1", 1, ["ed"], {"ed": 1}, "x" * 201, "rsa"])
def test_the_key_is_the_one_that_is_named(verifier: SessionVerifier, kid: Any) -> None:
    expected = "algorithm" if kid == "rsa" else "unknown_key"
    assert reason(verifier, jwt(ED, header={"alg": "EdDSA", "typ": "JWT", "kid": kid})) == expected
    assert reason(verifier, jwt(ED, header={"alg": "EdDSA", "typ": "JWT"})) == "unknown_key"


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"exp": NOW}, "expired"),
        ({"exp": NOW - 1}, "expired"),
        ({"exp": 0}, "expired"),
        ({"exp": -1}, "expired"),
        ({"exp": ...}, "malformed"),
        ({"exp": None}, "malformed"),
        ({"exp": str(NOW + 60)}, "malformed"),
        ({"exp": NOW + 60.5}, "malformed"),
        ({"exp": True}, "malformed"),
        ({"exp": [NOW + 60]}, "malformed"),
        ({"iat": NOW + 61}, "not_yet_valid"),
        ({"iat": 1 << 60}, "not_yet_valid"),
        ({"iat": str(NOW)}, "malformed"),
        ({"nbf": NOW + 61}, "not_yet_valid"),
        ({"nbf": None}, "malformed"),
        ({"iss": ...}, "issuer"),
        ({"iss": None}, "issuer"),
        ({"iss": ISSUER + "/"}, "issuer"),
        ({"iss": [ISSUER]}, "issuer"),
        ({"aud": ...}, "audience"),
        ({"aud": None}, "audience"),
        ({"aud": "keystile"}, "audience"),
        ({"aud": ISSUER + "/"}, "audience"),
        ({"aud": {ISSUER: 1}}, "audience"),
        ({"aud": ["keystile"]}, "audience"),
        ({"aud": []}, "audience"),
        ({"aud": [None]}, "audience"),
        ({"aud": ""}, "audience"),
        ({"sub": ...}, "not_a_session"),
        ({"sub": ""}, "not_a_session"),
        ({"sub": 7}, "not_a_session"),
        ({"sub": None, "user_id": "u1"}, "not_a_session"),
        ({"sid": ...}, "not_a_session"),
        ({"sid": ""}, "not_a_session"),
        ({"sid": 7}, "not_a_session"),
    ],
)
def test_a_token_with_a_wrong_claim_is_refused(
    verifier: SessionVerifier, changes: dict[str, Any], expected: str
) -> None:
    assert reason(verifier, jwt(ED, **changes)) == expected


@pytest.mark.parametrize("changes", [{"iat": ...}, {"iat": NOW + 60}, {"nbf": NOW + 60}, {"exp": NOW + 1}, {"aud": ["x", ISSUER]}])
def test_a_claim_at_its_limit_is_accepted(verifier: SessionVerifier, changes: dict[str, Any]) -> None:
    assert verifier.verify(jwt(ED, **changes)).subject == "u1"


@pytest.mark.parametrize(
    ("aud", "good"),
    [("api", True), (["x", "api"], True), (..., False), (None, False), ("apis", False), (["x"], False), (ISSUER, False)],
)
def test_an_audience_that_is_asked_for_must_be_named(stub: Stub, aud: Any, good: bool) -> None:
    stub.replies = [reply(200, key_set())]
    verifier = SessionVerifier(jwks_url=stub.url, issuer=ISSUER, audience="api", clock=lambda: NOW)
    if good:
        assert verifier.verify(jwt(ED, aud=aud)).session_id == "s1"
    else:
        assert reason(verifier, jwt(ED, aud=aud)) == "audience"


@pytest.mark.parametrize("typ", ["at+jwt", "application/at+jwt", "logout+jwt", "dpop+jwt", "JOSE", "", None, 1])
def test_threat_02_another_kind_of_token_by_the_same_key_is_no_session(verifier: SessionVerifier, typ: Any) -> None:
    assert reason(verifier, jwt(ED, header={"alg": "EdDSA", "typ": typ, "kid": "ed"})) == "not_a_session"


@pytest.mark.parametrize("typ", ["JWT", "jwt", "application/jwt"])
def test_a_session_may_say_that_it_is_a_jwt(verifier: SessionVerifier, typ: str) -> None:
    assert verifier.verify(jwt(ED, header={"alg": "EdDSA", "typ": typ, "kid": "ed"}))
    assert verifier.verify(jwt(ED, header={"alg": "EdDSA", "kid": "ed"}))


def test_threat_02_an_assertion_and_a_signed_request_are_no_session(verifier: SessionVerifier) -> None:
    assert reason(verifier, jwt(ED, credential="session_jwt:s1", route="r1", aud="https://api.example.com")) == "audience"
    assert reason(verifier, jwt(ED, credential="session_jwt:s1", route="r1")) == "not_a_session"
    signed = {"iss": ISSUER, "aud": ISSUER, "apiKey": "k", "nonce": "n" * 16, "iat": NOW, "exp": NOW + 30}
    assert reason(verifier, jwt(ED, signed)) == "not_a_session"


@pytest.mark.parametrize(
    ("configured", "claims", "expected"),
    [
        ({}, {"aud": "x"}, "audience"),
        ({}, {"aud": [None]}, "audience"),
        ({}, {"iss": "https://other.example"}, None),
        ({"issuer": ISSUER}, {}, "issuer"),
        ({"issuer": ISSUER}, {"iss": ISSUER}, "audience"),
        ({"issuer": ISSUER}, {"iss": ISSUER, "aud": ISSUER}, None),
        ({"issuer": ISSUER, "audience": "api"}, {"iss": ISSUER, "aud": "api"}, None),
        ({"audience": "api"}, {}, "audience"),
        ({"audience": "api"}, {"aud": "api"}, None),
    ],
)
def test_tokens_of_onas_dialect_have_the_parties_that_are_configured(
    configured: dict[str, str], claims: dict[str, Any], expected: str | None
) -> None:
    verifier, token = SessionVerifier(secret=SECRET, clock=lambda: NOW, **configured), jwt(HS, ONA_CLAIMS | claims)
    if expected is None:
        assert verifier.verify(token).subject == "u1"
    else:
        assert reason(verifier, token) == expected


@pytest.mark.parametrize(
    "arguments",
    [
        {},
        {"jwks_url": "https://a.example/jwks", "secret": SECRET},
        {"secret": ""},
        {"secret": "x" * 31},
        {"secret": 7},
        {"secret": SECRET, "issuer": ""},
        {"secret": SECRET, "audience": ""},
        {"jwks_url": "https://a.example/jwks"},
        {"jwks_url": "", "issuer": ISSUER},
        {"jwks_url": "http://a.example/jwks", "issuer": ISSUER},
        {"jwks_url": "file:///etc/passwd", "issuer": ISSUER},
    ],
)
def test_a_verifier_that_could_be_fooled_is_not_made(arguments: dict[str, Any]) -> None:
    with pytest.raises(ValueError):
        SessionVerifier(**arguments)


class Source:
    """A key set behind a clock that is set by hand."""

    def __init__(self, *keys: Key) -> None:
        self.answer: Answer | Unreachable = Answer(200, {}, json.dumps(key_set(*keys)).encode())
        self.fetches = 0
        self.now = 1000.0
        self.keys = _jwks.RemoteKeySet("https://auth.example.com/jwks", self.send, lambda: self.now)

    def send(self, request: Request) -> Answer:
        self.fetches += 1
        if isinstance(self.answer, Unreachable):
            raise self.answer
        return self.answer

    def publish(self, *keys: Key) -> None:
        self.answer = Answer(200, {}, json.dumps(key_set(*keys)).encode())

    def has(self, kid: object) -> bool:
        return self.keys.find(kid, fetch=True) is not None


def test_threat_13_invented_keys_make_one_fetch_in_thirty_seconds() -> None:
    source = Source(ED)
    assert source.has("ed") and source.fetches == 1
    for n in range(200):
        assert not source.has(f"invented-{n}")
    assert source.fetches == 1
    source.now += 30
    for n in range(200):
        assert not source.has(f"invented-{n}")
    assert source.fetches == 2
    for kid in (None, 7, "x" * 300):
        source.now += 30
        assert not source.has(kid)
    assert source.fetches == 2


def test_a_key_that_is_new_is_found_and_one_that_is_gone_is_forgotten() -> None:
    source = Source(ED)
    assert source.has("ed")
    source.now += 30
    source.publish(KEYS["ec"])
    assert source.has("ec") and not source.has("ed")
    source.publish(KEYS["rsa"])
    source.now += _jwks.FRESH_SECONDS
    assert not source.has("ec") and source.has("rsa")


@pytest.mark.parametrize(
    "answer",
    [
        Unreachable("down"),
        Answer(500, {}, json.dumps(key_set(KEYS["ec"])).encode()),
        Answer(302, {"location": "https://attacker.example"}, b""),
        Answer(200, {}, b""),
        Answer(200, {}, b"[]"),
        Answer(200, {}, b"{}"),
        Answer(200, {}, b'{"keys": {}}'),
        Answer(200, {}, json.dumps({"keys": [ED.jwk, ED.jwk]}).encode()),
        Answer(200, {}, json.dumps({"keys": [], "filler": "x" * _jwks.MAX_KEY_SET}).encode()),
    ],
)
def test_keys_that_cannot_be_fetched_again_are_believed_for_an_hour_and_no_longer(answer: Any) -> None:
    source = Source(ED)
    assert source.has("ed")
    good, source.answer = source.answer, answer
    source.now += _jwks.STALE_SECONDS
    assert source.has("ed")
    source.now += 1
    with pytest.raises(KeysUnavailable):
        source.has("ed")
    fetches = source.fetches
    with pytest.raises(KeysUnavailable):
        source.has("ed")
    assert source.fetches == fetches
    source.answer = good
    source.now += 30
    assert source.has("ed")


def test_without_any_keys_nobody_is_let_in_and_the_server_is_asked_each_second() -> None:
    source = Source(ED)
    good, source.answer = source.answer, Unreachable("down")
    for _ in range(3):
        with pytest.raises(KeysUnavailable):
            source.has("ed")
    assert source.fetches == 1
    source.answer = good
    source.now += 1
    assert source.has("ed")


def test_threads_that_wait_for_the_first_keys_all_get_them() -> None:
    source, started, go = Source(ED), threading.Event(), threading.Event()
    send = source.send

    def slow(request: Request) -> Answer:
        started.set()
        go.wait()
        return send(request)

    source.keys._send = slow
    found: list[bool] = []
    threads = [threading.Thread(target=lambda: found.append(source.has("ed"))) for _ in range(8)]
    for thread in threads:
        thread.start()
    started.wait()
    go.set()
    for thread in threads:
        thread.join()
    assert found == [True] * 8 and source.fetches == 1


def test_a_known_key_does_not_wait_for_a_fetch() -> None:
    source, started, go = Source(ED), threading.Event(), threading.Event()
    assert source.has("ed")

    def slow(request: Request) -> Answer:
        started.set()
        go.wait()
        raise Unreachable("late")

    source.keys._send = slow
    source.now += 30
    waiting = threading.Thread(target=lambda: source.has("invented"))
    waiting.start()
    started.wait()
    source.now += _jwks.FRESH_SECONDS
    assert source.has("ed")
    go.set()
    waiting.join()


def _changed(key: Key, **changes: Any) -> dict[str, Any]:
    return {name: value for name, value in (key.jwk | changes).items() if value is not ...}


@pytest.mark.parametrize(
    "jwk",
    [
        "text",
        {},
        {"kty": "RSA", "kid": "x"},
        SMALL_RSA.jwk,
        _changed(KEYS["rsa"], e=b64(1)),
        _changed(KEYS["rsa"], e=b64(2)),
        _changed(KEYS["rsa"], e=b64(1 << 32 | 1)),
        _changed(KEYS["rsa"], n=b64(1 << 9000 | 1)),
        _changed(KEYS["rsa"], alg="PS256"),
        _changed(KEYS["rsa"], crv="P-256"),
        _changed(KEYS["rsa"], use="enc"),
        _changed(KEYS["rsa"], key_ops=["sign"]),
        _changed(KEYS["rsa"], key_ops="verify"),
        _changed(KEYS["ec"], crv="P-384"),
        _changed(KEYS["ec"], y=KEYS["ec"].jwk["x"]),
        _changed(KEYS["ec"], x=b64(b"\x00" * 32), y=b64(b"\x00" * 32)),
        _changed(KEYS["ec"], y=...),
        _changed(ED, x=b64(b"\x00" * 31)),
        _changed(ED, x="+/+/"),
        _changed(ED, x=7),
        _changed(ED, crv="X25519"),
        _changed(ED, alg="ES256"),
        _changed(ED, alg=None),
        _changed(ED, kid=...),
        _changed(ED, kid=""),
        _changed(ED, kid=7),
        _changed(ED, kid="x" * 201),
        {"kty": "oct", "k": b64(SECRET), "kid": "x", "alg": "HS256"},
    ],
)
def test_a_key_that_cannot_be_used_is_passed_over_and_the_others_stay(jwk: Any) -> None:
    other = KEYS["ec"].jwk | {"kid": "other"}
    assert list(_jwks.read_key_set({"keys": [jwk, other]})) == ["other"]
