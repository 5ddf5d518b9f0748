"""The programs of the platform's documentation run as they stand, against a running server: see world.py.

Replaced are host, credentials, the ``(...)`` of the page, and nothing else. The
import path in Python is the platform's own.
"""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

import pytest
from shared import REPOSITORY
from world import ENDPOINT, SERVER, WORLD, external_token, totp, user

from ona_platform import OnaClient, TimeRange

SAMPLES = REPOSITORY / "sdk/samples"
AUTH_HOST = "https://auth-api.asoba.co/prod"


def sample(name: str, **replaced: str) -> str:
    """The text of a sample in which each text is replaced that must be there."""
    text = (SAMPLES / name).read_text(encoding="utf-8")
    for old, new in replaced.items():
        assert old in text, f"{name} has no {old!r}"
        text = text.replace(old, new)
    return text


def run(name: str, found: dict[str, Any], **replaced: str) -> dict[str, Any]:
    exec(compile(sample(name, **replaced), name, "exec"), found)
    return found


def test_every_sample_is_run() -> None:
    text = Path(__file__).read_text(encoding="utf-8")
    text += (REPOSITORY / "sdk/javascript/testing/ona.js").read_text(encoding="utf-8")
    names = {path.name for path in SAMPLES.iterdir()} - {"README.md"}
    assert names == {name for name in names if f'"{name}"' in text or f'/{name}"' in text}


if WORLD:

    def logged_in(found: dict[str, Any], name: str) -> dict[str, str]:
        """What the sample of a login is run with."""
        chosen = user(name)
        return {AUTH_HOST: ENDPOINT, "user@example.com": chosen.username, "'password'": repr(chosen.password)}

    def test_the_login_sample_logs_in(capsys: pytest.CaptureFixture[str]) -> None:
        run("login.py", {}, **logged_in({}, "plain"))
        assert capsys.readouterr().out == f"Logged in as: {user('plain').username} (Role: role_analyst)\n"

    def test_the_login_sample_asks_for_a_code_and_then_manages_its_token(capsys: pytest.CaptureFixture[str]) -> None:
        mfa = user("sample")
        found = run("login.py", {}, **logged_in({}, "sample"), **{"123456": totp(mfa.totp_secret)})
        assert capsys.readouterr().out == f"Logged in as: {mfa.username} (Role: role_analyst)\n"
        first = found["client"].auth.get_token()
        run("tokens.py", found, **{"eyJhbGciOiJIUzI1NiIs...": first})
        assert found["new_token"]["token"] != first
        assert not found["client"].auth.is_authenticated()

    def test_the_login_sample_shows_what_to_scan(capsys: pytest.CaptureFixture[str], monkeypatch: Any) -> None:
        """The code cannot be known before the program runs: it is that of what the program shows."""
        import ona_platform.auth

        verify = ona_platform.auth.AuthClient.verify_mfa

        def scanned(self: Any, mfa_token: str, totp_code: str) -> Any:
            assert totp_code == "123456"
            (uri,) = capsys.readouterr().out.split("Scan QR: ")[1:]
            return verify(self, mfa_token, totp(uri.split("secret=")[1].split("&")[0].strip()))

        monkeypatch.setattr(ona_platform.auth.AuthClient, "verify_mfa", scanned)
        run("login.py", {}, **logged_in({}, "scanner"))
        assert capsys.readouterr().out == f"Logged in as: {user('scanner').username} (Role: role_analyst)\n"

    def test_the_exchange_sample_signs_in() -> None:
        found = run(
            "exchange.py", {"client": OnaClient(auth_endpoint=ENDPOINT)}, **{"external_jwt": external_token()}
        )
        assert found["result"]["user"]["username"] == user("external").username

    def test_the_introspection_sample_tells_of_a_key(capsys: pytest.CaptureFixture[str]) -> None:
        run("introspection.py", {}, **{AUTH_HOST: ENDPOINT, "opa_prod_xxxxx": WORLD["api_key"]})
        expires, *printed = capsys.readouterr().out.splitlines()
        assert expires.startswith("Expires: ")
        assert printed == [f"Permitted sites: {[WORLD['site']]}", "Key is valid for site"]

    def test_the_environment_sample_and_the_telemetry_sample_read_records(monkeypatch: pytest.MonkeyPatch) -> None:
        script = sample("environment.sh", **{AUTH_HOST: ENDPOINT, "opa_prod_xxxxx": WORLD["api_key"]})
        printed = subprocess.run(["bash", "-c", script + "env -0"], capture_output=True, text=True, check=True).stdout
        exported = dict(line.split("=", 1) for line in printed.split("\0") if "=" in line)
        for name in ("ONA_AUTH_ENDPOINT", "INVERTER_TELEMETRY_API_KEY", "OODA_TERMINAL_API_KEY"):
            monkeypatch.setenv(name, exported[name])
        monkeypatch.setenv("INVERTER_TELEMETRY_ENDPOINT", ENDPOINT)
        arguments = '("INV-1000000054495190", "Sibaya", span)'
        span = TimeRange("2025-11-01T00:00:00", "2025-11-01T12:00:00")
        found = run("telemetry.py", {"span": span}, **{"(...)": arguments})
        assert len(found["records"]) == 100
        assert found["client"].auth.validate_api_key(WORLD["api_key"], WORLD["site"])["valid"] is True

    def test_the_curl_sample_reads_records() -> None:
        script = sample(
            "telemetry.sh",
            **{"YOUR_API_KEY": WORLD["api_key"], "https://af5jy5ob3e.execute-api.af-south-1.amazonaws.com": SERVER},
        )
        printed = subprocess.run(
            ["bash", "-c", script.replace("curl ", "curl --silent --fail --noproxy '*' ")],
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        assert '"asset_id":"INV-1000000054495190"' in printed
