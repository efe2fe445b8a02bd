"""Aliases that a tool needs: shown as the gateway has them, written into `stack.yml`, and taken out of it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from stackctl.core.models.files import ModelFile
from stackctl.core.stack.runtime import Answer
from stackctl.errors import ConfigError
from stackctl.operations.look.connect import connect, undo
from stackctl.operations.look.connect_aliases import write_aliases
from stackctl.operations.look.doctor import run_doctor
from stackctl.operations.run.up import run_up
from tests.fakes import KEYS, SITE, World, raised_by, write_env
from tests.gguf_files import build_header

STACK = "# mine\nversion: 1\naliases:\n  team: local-chat   # ours\nlimits: {retries:   2}\n"
FILE, HOME = SITE / "stack.yml", Path("/home/me")
RECORD = HOME / ".local/state/stackctl/connect/claude-code.aliases.json"
NEW = {"claude-*": "local-chat"}
WRITTEN = STACK.replace("# ours\n", "# ours\n  claude-*: local-chat\n")


def answer_models(**aliases: str) -> Answer:
    models = [{"id": "local-chat", "mode": "chat", "context_length": 32768}]
    named = [{"id": name, "mode": "chat", "alias_of": model} for name, model in aliases.items()]
    return Answer(200, json.dumps({"data": [*models, *named]}))


@pytest.fixture
def world() -> World:
    """A world in which the stack runs, and a person with a home."""
    world = World(write_env(STACK_RUNTIME="process"), STACK)
    run_up(world.effects)
    world.environment["HOME"] = str(HOME)
    world.answers["/v1/models?aliases=true"] = answer_models(team="local-chat")
    return world


def write(world: World, *, dry_run: bool = False) -> str:
    return write_aliases(world.effects, "claude-code", NEW, dry_run=dry_run).difference


def show(world: World) -> list[tuple[str, str, str]]:
    connected = connect(world.effects, "claude-code", KEYS["GATEWAY_KEY"])
    assert connected.gateway.chat.name == "local-chat"
    return [(alias.name, alias.model, str(alias.state)) for alias in connected.aliases]


def test_an_alias_is_proposed_written_applied_by_up_and_taken_back(world: World) -> None:
    assert show(world) == [("claude-*", "local-chat", "missing")]
    assert "+  claude-*: local-chat" in write(world, dry_run=True)
    assert world.files[FILE] == STACK

    write(world)
    assert world.files[FILE] == WRITTEN
    assert show(world) == [("claude-*", "local-chat", "written")]
    assert "api-gateway" in run_up(world.effects).started
    world.answers["/v1/models?aliases=true"] = answer_models(team="local-chat", **NEW)
    assert show(world) == [("claude-*", "local-chat", "answered")]

    undone = undo(world.effects, "claude-code", force=False)
    assert (undone.path, [change.aliases for change in undone.aliases]) == (None, [NEW])
    assert world.files[FILE] == STACK
    assert RECORD not in world.files
    assert "nothing to undo" in raised_by(lambda: undo(world.effects, "claude-code", force=False)).message


def test_of_another_machine_s_gateway_its_own_aliases_are_shown(world: World) -> None:
    world.answers["/v1/models?aliases=true"] = answer_models(**{"claude-*": "local-chat"})
    connected = connect(world.effects, "claude-code", "sk-mine", url="http://gpu.example:8000")
    assert [(alias.name, str(alias.state)) for alias in connected.aliases] == [("claude-*", "answered")]


def test_a_tool_is_told_of_an_authority_by_its_whole_path_and_only_where_tls_is_spoken(world: World) -> None:
    world.environment["SSL_CERT_FILE"] = "/home/me/ca.pem"

    def read(url: str) -> tuple[str, list[object]]:
        connected = connect(world.effects, "continue", "sk-mine", url=url)
        assert connected.guide.settings
        models = connected.guide.settings.values["models"]
        return connected.trust, [model.get("requestOptions") for model in models]

    note = "its own file names /home/me/ca.pem, by which it trusts this certificate"
    assert read("https://gpu.example") == (note, [{"caBundlePath": "/home/me/ca.pem"}])
    assert read("http://gpu.example") == ("", [None])


def test_later_edits_are_kept_when_an_alias_is_taken_back(world: World) -> None:
    write(world)
    world.files[FILE] += "# later\n"
    undo(world.effects, "claude-code", force=False)
    assert world.files[FILE] == f"{STACK}# later\n"

    write(world)
    world.files[FILE] = WRITTEN.replace("claude-*: local-chat", "claude-*: another")
    changed = world.files[FILE]
    assert [change.aliases for change in undo(world.effects, "claude-code", force=False).aliases] == [{}]
    assert world.files[FILE] == changed


def test_a_stack_yml_that_was_not_there_is_gone_again(world: World) -> None:
    del world.files[FILE]
    write(world)
    assert world.files[FILE] == "aliases:\n  claude-*: local-chat\n"
    undo(world.effects, "claude-code", force=False)
    assert FILE not in world.files


def test_a_site_that_is_gone_stops_no_undo(world: World) -> None:
    write(world)
    del world.files[FILE]
    assert "nothing to undo" in raised_by(lambda: undo(world.effects, "claude-code", force=False)).message
    assert RECORD not in world.files


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("aliases: [1]\n", "stays as it is"),
        ("a: [1\n", "stays as it is"),
        ("alaises: {}\n", "not usable"),
    ],
)
def test_a_stack_yml_that_is_not_usable_stays_as_it_is(world: World, text: str, said: str) -> None:
    world.files[FILE] = text
    error = raised_by(lambda: write(world))
    assert isinstance(error, ConfigError)
    assert said in error.message
    assert (world.files[FILE], RECORD in world.files) == (text, False)


def test_a_link_and_a_read_only_file_are_not_replaced(world: World) -> None:
    world.links.add(FILE)
    assert "is a link" in raised_by(lambda: write(world)).message
    world.links.clear()
    world.modes[FILE] = 0o444
    assert "is read-only (mode 0444)" in raised_by(lambda: write(world)).message
    assert world.files[FILE] == STACK


def test_the_file_keeps_its_mode(world: World) -> None:
    world.modes[FILE] = 0o640
    write(world)
    assert (world.modes[FILE], world.modes[RECORD]) == (0o640, 0o600)


@pytest.mark.parametrize(
    "text", ["", "[]", "{", '{"a": 1}', '{"a": {"before": 1, "after": "", "aliases": {}}}', "null"]
)
def test_a_record_that_cannot_be_read_is_named(world: World, text: str) -> None:
    write(world)
    world.files[RECORD] = text
    error = raised_by(lambda: undo(world.effects, "claude-code", force=False))
    assert str(RECORD) in error.message
    assert world.files[FILE] == WRITTEN


def test_a_tool_that_is_here_twice_is_named(world: World) -> None:
    world.environment["PATH"] = "/home/me/bin:/usr/bin:/other"
    world.modes |= {Path("/home/me/bin/claude"): 0o755, Path("/usr/bin/claude"): 0o755, Path("/other/claude"): 0o644}
    connected = connect(world.effects, "claude-code", KEYS["GATEWAY_KEY"])
    (found,) = [finding for finding in connected.findings if finding.subject == "claude"]
    assert found.message.startswith("/home/me/bin/claude is started, and /usr/bin/claude is another")


def test_what_more_context_costs_is_said_by_the_model_s_own_header(world: World) -> None:
    world.files[SITE / ".env"] = write_env(STACK_RUNTIME="process", CHAT_MODEL="mine.gguf", CONTEXT_LENGTH=8192)
    header = build_header(context_length=131_072, has_tools=True)
    path = SITE / "models" / "mine.gguf"
    world.broken_models[path] = (ModelFile(str(path), header),)
    short = json.loads(answer_models().body)
    short["data"][0]["context_length"] = 8192
    world.answers["/v1/models?aliases=true"] = Answer(200, json.dumps(short))

    def advise() -> str:
        findings = connect(world.effects, "codex", KEYS["GATEWAY_KEY"]).findings
        return next(finding.hint for finding in findings if "24,576" in finding.message)

    assert advise().startswith("set CONTEXT_LENGTH=32768 in .env and run 'stackctl up': it takes ")
    (warned,) = [finding for finding in run_doctor(world.effects) if finding.subject == "CONTEXT_LENGTH"]
    assert "Claude Code, Codex CLI, opencode and" in warned.message
    assert warned.hint == advise()

    world.files[SITE / ".env"] = write_env(STACK_RUNTIME="process", CHAT_MODEL="mine.gguf", CONTEXT_LENGTH=32768)
    assert advise() == "CONTEXT_LENGTH is long enough already: 'stackctl up' applies it"
    assert [finding for finding in run_doctor(world.effects) if finding.subject == "CONTEXT_LENGTH"] == []
