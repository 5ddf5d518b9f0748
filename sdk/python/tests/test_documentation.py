"""The programs on the page about one-time requests do what the page says.

Each is taken from the page, pointed at a server in this process, and run in its
own language; what it sent is then checked. Needs go and node beside Python.

KEYSTILE_TEST_BINARY names a ``keystile`` program; with it the page's commands for
curl are run too, and without it they have no tests here.
"""

from __future__ import annotations

import base64
import hashlib
import os
import re
import shutil
import subprocess
import sys
import textwrap
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest
from shared import KEYS, REPOSITORY, VECTORS, is_good, message_base, message_signature, read_header

PAGE = (REPOSITORY / "docs/one-time-requests.md").read_text(encoding="utf-8")
HOST = "https://api.example.com"
BINARY = os.environ.get("KEYSTILE_TEST_BINARY", "")


def block(language: str, name: str) -> str:
    """The one fenced block of the page with this info string."""
    found = re.findall(rf"^( *)```{language} {name}\n(.*?)^\1```$", PAGE, re.MULTILINE | re.DOTALL)
    assert len(found) == 1, f"the page has {len(found)} blocks {language} {name}, not one"
    return textwrap.dedent(found[0][1])


@dataclass
class Sent:
    method: str
    uri: str
    headers: dict[str, str]
    body: bytes


@dataclass
class Witness:
    """A server that keeps what it is sent."""

    url: str
    sent: list[Sent] = field(default_factory=list)


@pytest.fixture
def witness() -> Iterator[Witness]:
    class Handler(BaseHTTPRequestHandler):
        def answer(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            headers = {name.title(): value for name, value in self.headers.items()}
            seen.sent.append(Sent(self.command, f"http://{headers['Host']}{self.path}", headers, body))
            self.send_response(200)
            self.send_header("Content-Length", "0")
            self.end_headers()

        do_GET = do_POST = answer

        def log_message(self, format: str, *args: object) -> None:
            pass  # the test's output is the programs'

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        seen = Witness(f"http://127.0.0.1:{server.server_port}")
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield seen
        server.shutdown()
        thread.join()


def command(language: str, program: str, folder: Path) -> list[str]:
    """Writes the program into the folder and says what runs it."""
    if language == "python":
        (folder / "program.py").write_text(program)
        return [sys.executable, "program.py"]
    if language == "js":
        (folder / "program.mjs").write_text(program)
        (folder / "node_modules/@keystile").mkdir(parents=True)
        (folder / "node_modules/@keystile/sdk").symlink_to(REPOSITORY / "sdk/javascript")
        return [tool("node"), "program.mjs"]
    (folder / "main.go").write_text(program)
    # Built inside the module, so that the package it imports is the one beside it.
    subprocess.run([tool("go"), "build", "-o", folder / "program", folder / "main.go"], cwd=REPOSITORY, check=True)
    return [str(folder / "program")]


def tool(name: str) -> str:
    path = shutil.which(name)
    assert path, f"{name} is needed to run the page's programs"
    return path


def environment() -> dict[str, str]:
    """Ours, without proxies: the server is on this machine."""
    kept = {k: v for k, v in os.environ.items() if not k.lower().endswith("_proxy")}
    return kept | {"PYTHONPATH": str(REPOSITORY / "sdk/python/src"), "NODE_NO_WARNINGS": "1"}


def run(language: str, name: str, witness: Witness, folder: Path) -> Sent:
    program = block(language, name)
    assert HOST in program and "bank.secret" in program
    (folder / "bank.secret").write_text(KEYS["hs"]["secret"])
    arguments = command(language, program.replace(HOST, witness.url), folder)
    ran = subprocess.run(arguments, cwd=folder, env=environment(), capture_output=True, text=True, timeout=120)
    assert (ran.returncode, ran.stdout.strip(), ran.stderr) == (0, "200", "")
    assert len(witness.sent) == 1
    return witness.sent[0]


@pytest.mark.parametrize("language", ["go", "python", "js"])
def test_the_message_signature_program_signs_what_it_sends(
    language: str, witness: Witness, tmp_path: Path
) -> None:
    sent = run(language, "message", witness, tmp_path)
    assert (sent.method, sent.uri) == ("POST", witness.url + "/finapi/payments/deposit")
    assert sent.headers["Content-Type"] == "application/json"
    assert b'"amount"' in sent.body
    assert "Authorization" not in sent.headers
    text = message_base(sent.method, sent.uri, sent.headers)
    assert is_good(KEYS["hs"], text, message_signature(sent.headers))
    digest = base64.b64encode(hashlib.sha256(sent.body).digest()).decode()
    assert sent.headers["Content-Digest"] == f"sha-256=:{digest}:"


@pytest.mark.parametrize("language", ["python", "js"])
def test_the_header_program_sends_the_header_form(language: str, witness: Witness, tmp_path: Path) -> None:
    sent = run(language, "header", witness, tmp_path)
    assert (sent.method, sent.uri) == ("GET", witness.url + "/finapi/profiles/owner")
    fields, text, signature = read_header(sent.headers["Authorization"])
    assert fields["organization"] == "bank-x"
    assert is_good(KEYS["hs"], text, signature)


if BINARY:

    def commands(name: str, witness: Witness, folder: Path) -> list[Sent]:
        (folder / "bank.secret").write_text(KEYS["hs"]["secret"])
        (folder / "keystile").symlink_to(Path(BINARY).resolve(strict=True))
        script = "set -eu\n" + block("sh", name).replace(HOST, witness.url)
        surroundings = environment() | {"PATH": f"{folder}:{os.environ['PATH']}"}
        subprocess.run([tool("bash"), "-c", script], cwd=folder, env=surroundings, check=True, timeout=60)
        return witness.sent

    def test_the_curl_commands_send_one_header_twice(witness: Witness, tmp_path: Path) -> None:
        first, second = commands("curl-header", witness, tmp_path)
        assert (first.method, first.uri) == ("GET", witness.url + "/finapi/profiles/owner")
        assert first.headers["Authorization"] == second.headers["Authorization"]
        _, text, signature = read_header(first.headers["Authorization"])
        assert is_good(KEYS["hs"], text, signature)

    def test_the_curl_commands_sign_what_they_send(witness: Witness, tmp_path: Path) -> None:
        (sent,) = commands("curl-message", witness, tmp_path)
        assert (sent.method, sent.uri, sent.body) == (
            "POST",
            witness.url + "/finapi/payments/deposit",
            b'{"amount":"10.00"}',
        )
        text = message_base(sent.method, sent.uri, sent.headers)
        assert is_good(KEYS["hs"], text, message_signature(sent.headers))


def test_the_text_under_a_signature_is_the_one_that_is_signed() -> None:
    case = next(c for c in VECTORS["cases"] if c["name"] == "message, POST, HS256")
    assert block("text", "message-base") == case["signed"] + "\n"


@pytest.mark.parametrize("language", ["python", "js"])
def test_the_program_of_the_readme_runs(language: str, tmp_path: Path) -> None:
    folder = {"python": "sdk/python", "js": "sdk/javascript"}[language]
    text = (REPOSITORY / folder / "README.md").read_text(encoding="utf-8")
    (program,) = re.findall(rf"^```{language}\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
    subprocess.run(command(language, program, tmp_path), cwd=tmp_path, env=environment(), check=True, timeout=120)
