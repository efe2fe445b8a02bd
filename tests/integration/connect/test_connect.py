"""Connecting tools to a running stack: what is printed runs, what is written is right, and nothing else is touched."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, ClassVar

import pytest

from stackctl.core.connect.tools import TOOLS
from tests.certificates import make_company
from tests.http_server import QuietHandler, serve_http
from tests.integration.connect.person import Person
from tests.integration.stack_site import clean_environment
from tests.waiting import wait_for

CLAUDE = ".claude/settings.json"


def list_files(home: Path) -> list[str]:
    return sorted(str(path.relative_to(home)) for path in home.rglob("*") if path.is_file())


def test_the_tools_are_listed_with_what_is_here(person: Person) -> None:
    listed = {tool["name"]: tool for tool in json.loads(person.run("--json", in_site=False).stdout)}
    assert listed["curl"]["program"].endswith("curl")
    assert listed["cursor"]["checked"] == ""
    assert "its documentation only" in person.run().stdout


@pytest.mark.parametrize("tool", ["curl", "openai-python", "anthropic-python"])
def test_lines_run_as_they_are_printed(person: Person, tool: str) -> None:
    exported, lines = (part["text"] for part in json.loads(person.run(tool, "--json", "--reveal").stdout)["parts"])
    assert exported == f"export STACK_KEY={person.key}\n"
    program = ["sh", "-c", lines] if tool == "curl" else [sys.executable, "-c", lines]
    environment = clean_environment(STACK_KEY=person.key)
    done = subprocess.run(program, env=environment, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    text = json.loads(done.stdout)["choices"][0]["message"]["content"] if tool == "curl" else done.stdout
    assert text.strip()


def test_the_key_is_shown_only_where_it_is_asked_for(person: Person) -> None:
    for arguments in (("claude-code",), ("claude-code", "--json"), ("claude-code", "--write", "--dry-run")):
        done = person.run(*arguments)
        assert person.key not in done.stdout + done.stderr
    assert person.key in person.run("claude-code", "--reveal").stdout
    assert list_files(person.home) == ["state/stackctl/connect/claude-code.lock"]


def test_a_file_is_written_and_put_back(person: Person) -> None:
    before = '{\n  // mine\n  "theme": "dark"\n}\n'
    file = person.file(CLAUDE, before)
    done = person.run("claude-code", "--write")
    assert person.key not in done.stdout + done.stderr
    after = file.read_text(encoding="utf-8")
    assert '// mine\n  "theme": "dark",' in after
    assert f'"ANTHROPIC_AUTH_TOKEN": "{person.key}"' in after
    written = [file, person.home / "state/stackctl/connect/claude-code.json"]
    assert [path.stat().st_mode & 0o777 for path in written] == [0o600, 0o600]
    assert "says all of this already" in person.run("claude-code", "--write").stderr
    person.run("claude-code", "--undo")
    assert file.read_text(encoding="utf-8") == before
    assert "nothing to undo" in person.run("claude-code", "--undo", code=3).stderr


def test_a_file_that_was_not_there_is_gone_again(person: Person) -> None:
    person.run("codex", "--write")
    assert (person.home / ".codex/config.toml").exists()
    assert "config.toml is gone again" in person.run("codex", "--undo").stderr
    assert not (person.home / ".codex/config.toml").exists()


def test_a_name_that_a_tool_insists_on_becomes_an_alias(person: Person) -> None:
    file = person.site.path / "stack.yml"
    before = file.read_bytes()
    assert "claude-* -> local-chat (not in stack.yml yet: --write puts it there)" in person.run("claude-code").stderr
    assert "+  claude-*: local-chat" in person.run("claude-code", "--write", "--dry-run").stdout
    assert file.read_bytes() == before
    done = person.run("claude-code", "--write")
    assert f"{file} has claude-*: local-chat; 'stackctl up' applies it" in done.stderr
    assert file.read_bytes().startswith(before)
    assert "(in stack.yml: 'stackctl up' applies it)" in person.run("claude-code").stderr
    person.run("claude-code", "--undo")
    assert file.read_bytes() == before
    # A tool that has no file of its own.
    assert json.loads(person.run("goose", "--write", "--json").stdout)["aliases"] == {"gpt-*": "local-chat"}
    person.run("goose", "--undo")
    assert file.read_bytes() == before


def test_later_changes_are_not_lost_without_a_word(person: Person) -> None:
    person.run("codex", "--write")
    file = person.file(".codex/config.toml")
    file.write_text(file.read_text(encoding="utf-8") + 'approval_policy = "never"\n', encoding="utf-8")
    done = person.run("codex", "--undo", code=3)
    assert "would lose that" in done.stderr
    assert '+approval_policy = "never"' in done.stderr
    assert person.key not in done.stderr
    assert "approval_policy" in file.read_text(encoding="utf-8")
    person.run("codex", "--undo", "--force")
    assert not file.exists()


@pytest.mark.parametrize(
    ("tool", "path", "text"),
    [
        ("claude-code", CLAUDE, '{"a": 1'),
        ("claude-code", CLAUDE, "[]"),
        ("codex", ".codex/config.toml", "a ="),
        ("continue", ".continue/config.yaml", "a: [1"),
    ],
)
def test_a_file_that_cannot_be_read_stays_as_it_is(person: Person, tool: str, path: str, text: str) -> None:
    file = person.file(path, text)
    done = person.run(tool, "--write", code=3)
    assert f"{file} stays as it is" in done.stderr
    assert "stackctl connect" in done.stderr
    assert file.read_text(encoding="utf-8") == text


def test_a_link_is_not_followed(person: Person) -> None:
    elsewhere = person.file("elsewhere.json", "{}")
    person.file(CLAUDE).symlink_to(elsewhere)
    assert "is a link" in person.run("claude-code", "--write", code=3).stderr
    assert elsewhere.read_text(encoding="utf-8") == "{}"


def test_a_repository_is_not_written_into_unasked(person: Person) -> None:
    (person.home / ".git").mkdir()
    done = person.run("claude-code", "--write", code=3)
    assert f"git repository {person.home}" in done.stderr
    assert not (person.home / CLAUDE).exists()
    person.run("claude-code", "--write", "--force")
    assert (person.home / CLAUDE).exists()


def test_two_at_once_leave_one_whole_file(person: Person) -> None:
    with ThreadPoolExecutor(2) as pool:
        ended = list(pool.map(lambda _: person.run("claude-code", "--write", code=None), range(2)))
    assert {done.returncode for done in ended} <= {0, 5}, [done.stderr for done in ended]
    assert json.loads((person.home / CLAUDE).read_text(encoding="utf-8"))["env"]["ANTHROPIC_AUTH_TOKEN"] == person.key


def test_where_a_tool_was_told_to_keep_its_files(person: Person) -> None:
    person.run("codex", "--write", CODEX_HOME=str(person.home / "other"))
    assert (person.home / "other/config.toml").exists()


def test_a_key_of_its_own(person: Person) -> None:
    parts = json.loads(person.run("curl", "--new-key", f"of {person.home.name}", "--json").stdout)["parts"]
    secret = parts[0]["text"].removeprefix("export STACK_KEY=").strip()
    assert secret.startswith("sk-")
    assert secret != person.key


def test_no_key_is_given_out_that_then_stands_nowhere(person: Person) -> None:
    def list_keys() -> str:
        return person.site.run("keys", "list", "--json").stdout

    before = list_keys()
    person.file(CLAUDE, "[]")
    person.run("claude-code", "--write", "--new-key", f"lost of {person.home.name}", code=3)
    person.run("cursor", "--write", "--new-key", f"lost of {person.home.name}", code=3)
    person.run("test", "curl", "--new-key", f"lost of {person.home.name}", code=2)
    assert [key["name"] for key in json.loads(list_keys())] == [key["name"] for key in json.loads(before)]


def test_from_another_machine(person: Person) -> None:
    arguments = ("claude-code", "--url", person.site.url, "--key-file", "-")
    shown = json.loads(person.run(*arguments, "--json", stdin=person.key, in_site=False).stdout)
    assert (shown["url"], shown["model"]) == (person.site.url, "local-chat")
    person.run(*arguments, "--write", stdin=person.key, in_site=False)
    assert person.key in (person.home / CLAUDE).read_text(encoding="utf-8")


class Gateway(QuietHandler):
    """A gateway behind TLS; remembers the keys that it was shown."""

    keys: ClassVar[list[str]] = []

    def do_GET(self) -> None:
        self.keys.append(self.headers["Authorization"])
        body = json.dumps({"data": [{"id": "far-chat", "mode": "chat"}]}).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


def test_a_key_goes_only_to_a_gateway_that_shows_a_trusted_certificate(person: Person, tmp_path: Path) -> None:
    company = make_company(tmp_path)
    with serve_http(Gateway, company.context) as address:
        arguments = ("curl", "--url", f"https://{address}", "--key-file", "-")
        done = person.run(*arguments, stdin="sk-mine", code=6, in_site=False)
        assert "certificate" in done.stderr.lower()
        assert Gateway.keys == []
        done = person.run(*arguments, stdin="sk-mine", in_site=False, SSL_CERT_FILE=str(company.authority))
    assert "far-chat" in done.stdout
    assert Gateway.keys == ["Bearer sk-mine"]


def say(person: Person, *arguments: str, **more: Any) -> str:
    return person.run(*arguments, **more).stderr


def test_what_is_wrong_is_said(person: Person) -> None:
    assert "did you mean 'claude-code'" in say(person, "claude-cod", code=3)
    assert "'local-chta' is no model" in say(person, "curl", "--model", "local-chta", code=3)
    assert "refuses the key" in say(person, "curl", "--key-file", "-", stdin="sk-wrong", code=6)
    assert "holds no key" in say(person, "curl", "--key-file", "-", stdin="two lines\nof it", code=3)
    assert "Nothing answers" in say(person, "curl", "--url", "http://127.0.0.1:9", "--key-file", "-", stdin="k", code=6)
    assert "no file that could be written" in say(person, "cursor", "--write", code=3)
    assert "--url needs --key-file" in say(person, "curl", "--url", "http://127.0.0.1:9", code=2)


def test_a_key_that_was_revoked_and_a_gateway_that_is_away_leave_the_file_alone(person: Person) -> None:
    text = 'model = "mine"\n'
    file = person.file(".codex/config.toml", text)
    name = f"gone of {person.home.name}"
    secret = json.loads(person.run("curl", "--new-key", name, "--json").stdout)["parts"][0]["text"].split("=")[1]
    wait_for(lambda: person.run("codex", "--key-file", "-", stdin=secret, code=None).returncode == 0, "the new key")
    person.site.run("keys", "revoke", name)

    def is_refused() -> bool:
        return (
            "refuses the key"
            in person.run("codex", "--write", "--dry-run", "--key-file", "-", stdin=secret, code=None).stderr
        )

    wait_for(is_refused, "the end of the key")
    for arguments in (("codex", "--write"), ("test", "codex")):
        assert "refuses the key" in say(person, *arguments, "--key-file", "-", stdin=secret, code=6)
    away = ("--url", "http://127.0.0.1:9", "--key-file", "-")
    assert "Nothing answers" in say(person, "codex", "--write", *away, stdin=secret, code=6)
    assert list_files(person.home) == [".codex/config.toml"]
    assert file.read_text(encoding="utf-8") == text


def test_a_tool_that_is_not_here_is_named_and_written_all_the_same(person: Person) -> None:
    assert "no codex is on PATH here" in person.run("codex", "--write", PATH="/nowhere").stderr
    assert (person.home / ".codex/config.toml").exists()
    # Nobody can tell whether an editor has its extension.
    assert "on PATH" not in person.run("continue", "--write", PATH="/nowhere").stderr


def test_how_well_it_is_known_that_a_tool_works_is_said(person: Person) -> None:
    assert re.search(
        r"^Claude Code: tried here with [\d.]+ on \d{4}-\d\d-\d\d$", say(person, "claude-code"), re.MULTILINE
    )
    assert re.search(r"^goose: not tried here; as its documentation says, \d{4}-", say(person, "goose"), re.MULTILINE)
    assert "\nCursor: cannot work: its servers ask" in say(person, "cursor")


def test_a_context_that_is_too_short_is_said_before_anybody_meets_it(person: Person) -> None:
    done = person.run("claude-code")
    # Its own training ends before: no setting raises it further.
    assert "begins with about 24,576 tokens, and the model has 8,192" in done.stderr
    assert "was trained for 8,192" in done.stderr
    assert "tokens" not in person.run("curl").stderr
    # The demo model has no tools.
    assert "this model cannot call tools" in done.stderr


@pytest.mark.parametrize(
    "url", ["gpu.example", "ftp://gpu.example", "http://a:b@gpu", "http://gpu/x", "http://", "http://gpu:x"]
)
def test_what_is_no_address_is_refused(person: Person, url: str) -> None:
    assert "no address of a gateway" in say(person, "curl", "--url", url, "--key-file", "-", stdin="k", code=3)


@pytest.mark.parametrize("tool", ["claude-code", "codex", "continue", "openai-python", "langchain"])
def test_the_gateway_takes_a_tool_s_own_requests(person: Person, tool: str) -> None:
    trials = json.loads(person.run("test", tool, "--json").stdout)
    assert [trial["trouble"] for trial in trials] == [""] * len(TOOLS[tool].shapes)


def test_what_a_tool_could_not_go_on_with_is_said(person: Person, tmp_path: Path) -> None:
    with serve_http(Gateway) as address:
        done = person.run("test", "curl", "--url", f"http://{address}", "--key-file", "-", stdin="sk-mine", code=6)
    assert "FAILS  /v1/chat/completions" in done.stdout
    assert f"after {len(TOOLS['curl'].shapes)} of {len(TOOLS['curl'].shapes)} requests" in done.stderr
    assert "requests of Cursor are not known" in say(person, "test", "cursor", code=3)
    assert "One tool is expected" in say(person, "test", code=2)
