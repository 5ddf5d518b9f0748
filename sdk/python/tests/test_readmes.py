"""The programs of both READMEs about logins and sessions do what they say; world.py says when the logins are run."""

from __future__ import annotations

import asyncio
import re
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from issuer import KEYS, jwt, key_set
from shared import REPOSITORY
from stub import Stub, reply
from test_documentation import environment, tool
from world import ENDPOINT, SERVER, WORLD, user

HOST = "https://auth.example.com"


def block(folder: str, info: str) -> str:
    """The one fenced block with this info string."""
    text = (REPOSITORY / "sdk" / folder / "README.md").read_text(encoding="utf-8")
    (found,) = re.findall(rf"^```{info}\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
    return str(found)


@pytest.fixture
def token(stub: Stub) -> str:
    """A token for the stub, which has the keys that it is verified by."""
    stub.replies = [reply(200, key_set())]
    now = int(time.time())
    return jwt(KEYS["ed"], iss=stub.url, aud=stub.url, iat=now, exp=now + 60)


def test_the_python_service_greets_who_has_a_session(stub: Stub, token: str) -> None:
    import httpx

    found: dict[str, Any] = {}
    exec(compile(block("python", "python asgi").replace(HOST, stub.url), "README.md", "exec"), found)

    async def ask(**headers: str) -> tuple[int, str]:
        transport = httpx.ASGITransport(found["app"])
        async with httpx.AsyncClient(transport=transport, base_url="http://api.example.com") as client:
            answer = await client.get("/", headers=headers)
            return answer.status_code, answer.text

    assert asyncio.run(ask(Authorization=f"Bearer {token}")) == (200, "hello u1")
    assert asyncio.run(ask())[0] == 401


def run_js(program: str, folder: Path, *arguments: str) -> str:
    (folder / "program.mjs").write_text(program)
    (folder / "node_modules/@keystile").mkdir(parents=True)
    (folder / "node_modules/@keystile/sdk").symlink_to(REPOSITORY / "sdk/javascript")
    command = [tool("node"), *(arguments or ["program.mjs"])]
    return subprocess.run(
        command, cwd=folder, env=environment(), capture_output=True, text=True, check=True, timeout=60
    ).stdout


def test_the_javascript_service_greets_who_has_a_session(stub: Stub, token: str, tmp_path: Path) -> None:
    asking = (
        "import service from './program.mjs';"
        "for (const headers of [{Authorization: `Bearer ${process.argv[2]}`}, {}]) {"
        "const answer = await service.fetch(new Request('https://api.example.com/', {headers}));"
        "console.log(answer.status, await answer.text()); }"
    )
    (tmp_path / "ask.mjs").write_text(asking)
    printed = run_js(block("javascript", "js fetch").replace(HOST, stub.url), tmp_path, "ask.mjs", token)
    assert printed.splitlines()[0] == "200 hello u1"
    assert printed.splitlines()[1].startswith("401 ")


if WORLD:

    def for_our_server(program: str) -> str:
        plain = user("plain")
        for old, new in (
            (f"{HOST}/prod", ENDPOINT),
            ("https://api.example.com/prod", ENDPOINT),
            ('"user@example.com"', f'"{plain.username}"'),
            ('"password"', f'"{plain.password}"'),
            ("opa_prod_xxxxx", WORLD["api_key"]),
        ):
            assert old in program, old
            program = program.replace(old, new)
        return program

    def test_the_python_program_logs_in_and_reads_records() -> None:
        program = for_our_server(block("python", "python ona"))
        ran = subprocess.run(
            [sys.executable, "-c", program], env=environment(), capture_output=True, text=True, check=True, timeout=60
        )
        username, *records = ran.stdout.splitlines()
        assert username == user("plain").username
        assert len(records) == 100 and records[0].startswith("2025-11-01T00:00:00")

    def test_the_javascript_program_logs_in_and_reads_records(tmp_path: Path) -> None:
        assert SERVER
        username, records = run_js(for_our_server(block("javascript", "js ona")), tmp_path).splitlines()
        assert username == user("plain").username
        assert records.startswith("100 ")
