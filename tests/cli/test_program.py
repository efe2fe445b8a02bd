"""``python -m stackctl`` as a program of its own: exit codes of bad input, interrupts, pipes, quick help."""

from __future__ import annotations

import json
import os
import re
import shutil
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from stackctl.core.settings.dotenv import parse_dotenv
from tests.cli.conftest import use_free_ports
from tests.fakes import CHECKOUT, KEYS

DEMO = CHECKOUT / "models" / "demo.gguf"
HEAVY = ("pydantic", "httpx", "docker", "litellm", "yaml", "jinja2", "supervisor")


def run(*arguments: object, site: Path | None = None, **environment: str) -> subprocess.CompletedProcess[str]:
    argv = [sys.executable, "-m", "stackctl", *(["--site", str(site)] if site else []), *map(str, arguments)]
    allowed = {name: os.environ[name] for name in ("PATH", "HOME", "XDG_STATE_HOME") if name in os.environ}
    variables = {**allowed, "PYTHONPATH": str(CHECKOUT), **environment}
    return subprocess.run(argv, env=variables, capture_output=True, text=True, check=False, timeout=60)


@pytest.fixture(scope="module")
def fresh(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A site made once; its files are copied by those who change them."""
    folder = tmp_path_factory.mktemp("sites") / "fresh"
    assert run("init", folder).returncode == 0
    use_free_ports(folder)
    return folder


@pytest.fixture
def site(fresh: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(fresh, tmp_path / "my site"))


def cut(folder: Path, name: str, size: int | None = None) -> None:
    """The demo model, or its first bytes, under another name."""
    data = DEMO.read_bytes()
    (folder / "models" / name).write_bytes(data if size is None else data[:size])


def fill(text: str, places: dict[str, int]) -> str:
    """The text with what is only known when the test runs."""
    for name, value in places.items():
        text = text.replace(name, str(value))
    return text


@pytest.mark.parametrize(
    ("env", "stack", "words"),
    [
        ("CHAT_MODLE=x", "", [".env:{line}: CHAT_MODLE", "did you mean 'CHAT_MODEL'?"]),
        ("INFERENCE_SLOTS=four", "", [".env:{line}: INFERENCE_SLOTS: is 'four'; expected a whole number"]),
        ("API_GATEWAY_PORT=70000", "", [".env:{line}: API_GATEWAY_PORT: is 70000; expected", "65535"]),
        ("API_GATEWAY_PORT={engines}", "", [".env:", "INFERENCE_PORT", "local-chat on {engines}", "gateway's port"]),
        ("INFERENCE_PORT={two below}", "", [".env:{line}: INFERENCE_PORT", "{gateway}", "local-embed"]),
        ("CHAT_MODEL=gone.gguf", "", [".env:{line}: CHAT_MODEL", "models/gone.gguf", "no such model file"]),
        ("CHAT_MODEL=text.gguf", "", [".env:{line}: CHAT_MODEL", "not a GGUF file"]),
        ("CHAT_MODEL=half.gguf", "", [".env:{line}: CHAT_MODEL", "truncated", "expected"]),
        ("CHAT_MODEL=s-00001-of-00002.gguf", "", [".env:{line}: CHAT_MODEL", "s-00002-of-00002.gguf is missing"]),
        ("GATEWAY_KEY=", "", ["GATEWAY_KEY: is not set", "stackctl init"]),
        ("", "models:\n  m: {file: a.gguf}\n  m: {file: b.gguf}\n", ["stack.yml:3: models.m", "stands twice"]),
        (
            "CODE_MODEL=whole.gguf",
            "models:\n  local-code: {file: whole.gguf}\n",
            [".env:{line}: CODE_MODEL", "'local-code' is also served by models.local-code in stack.yml"],
        ),
        ("", "modles: {}\n", ["stack.yml:1: modles", "did you mean 'models'?"]),
        ("", "models: [\n", ["stack.yml:", "is not valid YAML"]),
    ],
)
def test_bad_input_is_exit_code_3_and_starts_nothing(site: Path, env: str, stack: str, words: list[str]) -> None:
    (site / "models" / "text.gguf").write_text("this is no model")
    cut(site, "half.gguf", DEMO.stat().st_size // 2)
    cut(site, "whole.gguf")
    cut(site, "s-00001-of-00002.gguf")
    before = (site / ".env").read_text()
    gateway, engines = (int(parse_dotenv(before).values[name]) for name in ("API_GATEWAY_PORT", "INFERENCE_PORT"))
    places = {"{gateway}": gateway, "{engines}": engines, "{two below}": gateway - 2}
    places["{line}"] = len(before.splitlines()) + 1
    (site / ".env").write_text(f"{before}{fill(env, places)}\n")
    (site / "stack.yml").write_text(stack)
    done = run("up", "--runtime", "process", site=site)
    assert (done.returncode, done.stdout) == (3, "")
    for part in words:
        assert fill(part, places) in done.stderr
    assert "next:" in done.stderr or done.stderr.count("\n      ") >= 1
    assert "Traceback" not in done.stderr
    assert [path.name for path in site.glob(".stack/*")] in ([], ["lock"])
    values = parse_dotenv(before).values
    assert not [name for name in KEYS if values[name] in done.stderr]


def test_a_port_in_use_is_named_with_its_holder_and_nothing_starts(site: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        done = run("up", "--runtime", "process", site=site, API_GATEWAY_PORT=str(port))
    assert done.returncode == 3
    assert f"port {port} is in use by" in done.stderr
    assert f"(pid {os.getpid()})" in done.stderr
    assert "API_GATEWAY_PORT" in done.stderr
    assert not (site / ".stack" / "rendered").exists()


@pytest.mark.parametrize(
    ("command", "begin", "spared"),
    [
        ("--help", "Usage:", HEAVY),
        # Docker is asked by its CLI, and of the files of a site that is down nothing is needed.
        ("status", "The stack is not running.", (*HEAVY, "dotenv", "stackctl.core.settings.settings")),
    ],
)
def test_a_short_command_imports_nothing_heavy(fresh: Path, command: str, begin: str, spared: tuple[str, ...]) -> None:
    code = "import sys\nfrom stackctl.cli.main import main\ntry: main()\nexcept SystemExit: pass\n"
    code += f"sys.stderr.write(' '.join(name for name in {spared!r} if name in sys.modules))"
    argv = [sys.executable, "-c", code, "--site", str(fresh), command]
    done = subprocess.run(argv, cwd=CHECKOUT, capture_output=True, text=True, check=True)
    assert done.stdout.startswith(begin)
    assert done.stderr == ""


def test_json_is_all_that_is_on_standard_output(site: Path) -> None:
    (site / ".env").write_text((site / ".env").read_text() + "STACK_NAME=a\nSTACK_NAME=b\n")
    done = run("config", "--json", site=site)
    assert json.loads(done.stdout)["STACK_NAME"]["value"] == "b"
    assert "STACK_NAME: is set twice" in done.stderr


def test_a_reader_that_leaves_is_no_failure(fresh: Path) -> None:
    argv = f"'{sys.executable}' -m stackctl --site '{fresh}' config --reference | head -1; echo ${{PIPESTATUS[0]}}"
    done = subprocess.run(["bash", "-c", argv], cwd=CHECKOUT, capture_output=True, text=True, check=True)
    assert done.stdout.splitlines() == ["# Settings", "0"]
    assert done.stderr == ""


def test_rendering_twice_gives_the_same_bytes_whatever_the_hash_seed(site: Path) -> None:
    files = []
    for seed in ("1", "2"):
        assert run("render", "--out", site / seed, site=site, PYTHONHASHSEED=seed).returncode == 0
        files.append({path.name: path.read_bytes() for path in (site / seed).iterdir()})
    assert files[0] == files[1]


def test_no_path_of_this_checkout_but_the_programs_own_is_rendered(site: Path) -> None:
    """The gateway's configuration travels between machines and runtimes."""
    assert run("render", "--out", site / "out", site=site).returncode == 0
    config = (site / "out" / "config.p1.yaml").read_text()
    assert not re.search(re.escape(str(CHECKOUT)) + "|" + re.escape(str(site)), config)
