"""What a person or a program sees of each command: help, results, exit codes, JSON."""

from __future__ import annotations

import itertools
import json
import os
import re
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from stackctl import __version__
from stackctl.cli.main import COMMANDS
from stackctl.core.health.chat_events import list_pieces
from stackctl.core.settings.dotenv import parse_dotenv, set_values
from stackctl.core.stack.compose_view import RELAY_FILE
from stackctl.core.stack.render import TEMPLATES
from stackctl.core.stack.runtime import ChatPiece
from tests.cli.conftest import Command
from tests.fakes import CHECKOUT, KEYS, World, write_env


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_explains_itself(stackctl: Command, command: str) -> None:
    done = stackctl(command, "--help")
    assert done.code == 0
    assert done.out.startswith(f"Usage: stackctl {command}")
    for option in re.findall(r"^  (?:-\w, )?--[\w-]+.*(?:\n {5,}.*)*", done.out, re.MULTILINE):
        assert re.search(r" {2,}\S|\n {5,}\S", option), f"{option} says nothing"


def test_help_lists_every_command_with_its_words(stackctl: Command) -> None:
    done = stackctl("--help")
    assert done.code == 0
    for name, words in COMMANDS.items():
        assert re.search(rf"^  {name} +{re.escape(words[:20])}", done.out, re.MULTILINE)


def test_the_version_is_the_packages(stackctl: Command) -> None:
    assert stackctl("--version").out == f"stackctl, version {__version__}\n"


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["helth"], "No such command 'helth'; did you mean 'health'?"),
        (["nonsense"], "No such command 'nonsense'."),
        (["up", "--runtime", "podman"], "'auto', 'compose', 'process'"),
        (["up", "--wait-timeout", "-1"], "--wait-timeout"),
        (["up", "--nonsense"], "--nonsense"),
        (["chat"], "MESSAGE"),
        (["logs", "-n", "many"], "many"),
    ],
)
def test_a_wrong_command_line_is_exit_code_2(stackctl: Command, arguments: list[str], words: str) -> None:
    done = stackctl(*arguments)
    assert done.code == 2
    assert words in done.err
    assert done.out == ""


def test_init_makes_a_private_env_file_and_keeps_it(stackctl: Command, site: Path) -> None:
    values = parse_dotenv((site / ".env").read_text()).values
    assert (site / ".env").stat().st_mode & 0o777 == 0o600
    assert len({values[name] for name in KEYS}) == len(KEYS)
    assert all(len(values[name]) > 40 for name in KEYS)
    before = (site / ".env").read_bytes()
    done = stackctl("init")
    assert done.code == 0
    assert (site / ".env").read_bytes() == before
    assert not [name for name in KEYS if values[name] in done.out + done.err]


def test_config_shows_each_value_with_its_origin_and_no_secret(
    stackctl: Command, site: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = set_values((site / ".env").read_text(), {"INFERENCE_SLOTS": "2", "OPENAI_KEY": "planted-openai"})
    (site / ".env").write_text(text)
    (site / "stack.yml").write_text("providers: {o: {kind: openai, api_key: OPENAI_KEY, models: {g: {model: m}}}}")
    monkeypatch.setenv("API_GATEWAY_PORT", "8123")
    secrets = [parse_dotenv(text).values[name] for name in KEYS] + ["planted"]
    table, data = stackctl("config"), stackctl("config", "--json")
    assert re.search(r"^INFERENCE_SLOTS +2 +\.env$", table.out, re.MULTILINE)
    assert re.search(r"^GATEWAY_KEY +\(secret, \d+ characters\) +\.env$", table.out, re.MULTILINE)
    assert data.read_json()["API_GATEWAY_PORT"] == {"value": "8123", "origin": "environment"}
    assert data.read_json()["STACK_NAME"]["origin"] == "default"
    assert data.read_json()["OPENAI_KEY"]["value"] == "(secret, 14 characters)"
    assert not [secret for secret in secrets if secret in table.out + table.err + data.out + data.err]


@pytest.mark.parametrize(
    ("option", "file"),
    [
        ("--example", ".env.example"),
        ("--reference", "docs/reference/settings.md"),
        ("--schema", "docs/reference/stack.schema.json"),
    ],
)
def test_the_committed_documents_are_current(stackctl: Command, option: str, file: str) -> None:
    """'make docs' writes them again."""
    assert stackctl("config", option).out == (CHECKOUT / file).read_text(encoding="utf-8")


def test_render_writes_what_it_promises_and_nothing_else(stackctl: Command, site: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    assert stackctl("render", "--out", out).code == 0
    assert {path.name for path in out.iterdir()} == {*TEMPLATES, RELAY_FILE}
    assert not (site / ".stack").exists()
    assert stackctl("render", "--out", out, "--check").code == 0
    (out / "config.p1.yaml").write_text("model_list: []\n")
    before = {path: path.read_bytes() for path in out.iterdir()}
    done = stackctl("render", "--out", out, "--check")
    assert done.code == 4
    assert "-model_list: []" in done.out
    assert {path: path.read_bytes() for path in out.iterdir()} == before


def test_no_rendered_file_and_no_output_holds_a_secret(stackctl: Command, site: Path) -> None:
    secrets = [parse_dotenv((site / ".env").read_text()).values[name] for name in KEYS]
    outputs = [stackctl("render"), stackctl("up", "--dry-run", "--runtime", "process")]
    assert [done.code for done in outputs] == [0, 0]
    texts = [path.read_text() for path in (site / ".stack").rglob("*") if path.is_file()]
    texts += [text for done in outputs for text in (done.out, done.err)]
    assert not [secret for secret in secrets for text in texts if secret in text]


def test_a_dry_run_says_what_would_happen_and_writes_nothing(stackctl: Command, site: Path) -> None:
    before = sorted(site.rglob("*"))
    done = stackctl("up", "--dry-run", "--runtime", "process")
    assert done.code == 0
    assert "+++ rendered/supervisord.p1.conf" in done.out
    assert f"supervisord -c {site}" in done.out.replace("'", "")
    assert sorted(site.rglob("*")) == before


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["down"], 0, "The stack was not running."),
        (["status"], 0, "The stack is not running. Start it with: stackctl up"),
        (["restart"], 6, "next:  run 'stackctl up'"),
        (["health"], 6, "next:  run 'stackctl up'"),
        (["logs"], 6, "next:  run 'stackctl up'"),
        (["chat", ""], 3, "The message is empty."),
    ],
)
def test_without_a_started_stack(stackctl: Command, site: Path, arguments: list[str], code: int, words: str) -> None:
    done = stackctl(*arguments)
    assert done.code == code
    assert words in done.out + done.err


def test_a_bundle_is_loaded_into_the_site_above_and_not_into_a_folder_of_it(
    stackctl: Command, site: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with (site / ".env").open("a") as file:
        file.write("BUNDLE_PUBLIC_KEY=nonsense\n")
    monkeypatch.chdir(site / "models")
    done = stackctl("offline-load", "--dry-run", site)
    assert "nonsense" in done.err
    assert done.err.startswith(f"site  {site}\n")
    told = " ".join(stackctl("offline-load", "--help").out.split())
    assert "Go on where a newer version, or the same with other content, is installed." in told
    assert "nonsense" not in stackctl("--site", site.parent, "offline-load", "--dry-run", site).err


def test_a_site_is_known_as_soon_as_its_start_was_tried(stackctl: Command, site: Path) -> None:
    known = Path(os.environ["XDG_STATE_HOME"]) / "stackctl" / "sites"
    known.unlink()
    (site / ".env").write_text(set_values((site / ".env").read_text(), {"CHAT_MODEL": "gone.gguf"}))
    assert stackctl("up", "--dry-run").code == 3
    assert not known.exists()
    assert stackctl("up").code == 3
    assert known.read_text() == f"{site}\n"


@pytest.mark.parametrize(("model", "is_told"), [("", True), ("mine.gguf", False)])
def test_up_says_how_to_serve_a_model_of_ones_own_while_the_demo_answers(
    stackctl: Command, site: Path, monkeypatch: pytest.MonkeyPatch, model: str, is_told: bool
) -> None:
    world = World(write_env(CHAT_MODEL=model))
    monkeypatch.setattr("stackctl.cli.world.effects.build_effects", lambda *_: world.effects)
    done = stackctl("up")
    assert (done.code, "The stack is up" in done.out) == (0, True)
    assert ("set CHAT_MODEL in .env to a GGUF file in models/, then stackctl up" in done.out) is is_told


def test_chat_without_a_gateway_names_the_next_step(stackctl: Command, site: Path) -> None:
    (site / ".env").write_text(set_values((site / ".env").read_text(), {"API_GATEWAY_PORT": "1"}))
    done = stackctl("chat", "ping")
    assert (done.code, done.out) == (5, "")
    assert "Nothing answers at http://127.0.0.1:1/" in done.err
    assert "run 'stackctl up'" in done.err


def test_the_tokens_that_a_model_thinks_take_time_and_are_not_shown(
    stackctl: Command, site: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    deltas = [
        {"role": "assistant", "content": ""},
        *[{"reasoning_content": "hm"}] * 8,
        {"content": "po"},
        {"content": "ng"},
    ]
    events: list[dict[str, object]] = [{"choices": [{"delta": delta}]} for delta in deltas]
    events.append({"choices": [], "usage": {"completion_tokens": 10}})
    clock = itertools.count(1.0)
    monkeypatch.setattr(
        "stackctl.operations.look.chat.ask", lambda *_, **__: itertools.chain(*map(list_pieces, events))
    )
    monkeypatch.setattr("stackctl.cli.look.chat.time", SimpleNamespace(monotonic=lambda: next(clock)))
    done = stackctl("chat", "ping")
    assert (done.code, done.out) == (0, "pong\n")
    assert "[10 tokens, 1 tokens/s]" in done.err


def test_a_few_tokens_that_came_at_once_tell_no_speed(stackctl: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    pieces = [ChatPiece("po"), ChatPiece("ng"), ChatPiece("", 3)]
    monkeypatch.setattr("stackctl.operations.look.chat.ask", lambda *_, **__: iter(pieces))
    assert stackctl("chat", "ping").err == "[3 tokens]\n"


@pytest.mark.parametrize("command", ["status", "models", "config", "doctor"])
def test_json_output_is_json_and_nothing_else(stackctl: Command, site: Path, command: str) -> None:
    done = stackctl(command, "--json")
    assert done.code in (0, 6)
    assert json.loads(done.out)


def test_models_says_what_it_would_serve_while_the_stack_is_down(stackctl: Command, site: Path) -> None:
    rows = {row["served_name"]: row for row in stackctl("models", "--json").read_json()}
    assert set(rows) == {"local-chat", "local-embed"}
    chat = rows["local-chat"]
    assert (chat["file"], chat["listed"], chat["note"]) == ("demo.gguf", False, "demo model, no tools")
    assert chat["context_length"] > 0
    assert "MiB" in stackctl("models").out


@pytest.mark.parametrize("where", ["--site", "the current folder"])
def test_a_site_is_named_or_the_current_folder(
    stackctl: Command, site: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, where: str
) -> None:
    (site / ".env").write_text(set_values((site / ".env").read_text(), {"STACK_NAME": "mine"}))
    arguments = ["--site", site] if where == "--site" else []
    if arguments:
        monkeypatch.chdir(tmp_path)
    assert stackctl(*arguments, "config", "--json").read_json()["STACK_NAME"]["value"] == "mine"


def test_a_command_in_a_folder_of_a_site_is_for_the_site(
    stackctl: Command, site: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (site / ".env").write_text(set_values((site / ".env").read_text(), {"STACK_NAME": "mine"}))
    monkeypatch.chdir(site / "models")
    assert stackctl("config", "--json").read_json()["STACK_NAME"]["value"] == "mine"
    assert stackctl("render").code == 0
    assert (site / ".stack" / "rendered").is_dir()
    assert [path.name for path in (site / "models").iterdir()] == ["README.txt"]


NEED_A_SITE = (
    ["up"],
    ["up", "--dry-run"],
    ["down"],
    ["restart"],
    ["status"],
    ["health"],
    ["logs"],
    ["chat", "ping"],
    ["config"],
    ["render"],
    ["render", "--check"],
    ["models"],
    ["models", "pull", "qwen3-4b"],
    ["models", "verify"],
    ["doctor", "--set-context"],
    ["offline-pack", "--out", "out"],
    ["offline-verify", "--installed"],
    ["offline-rollback"],
    ["offline-prune"],
    ["offline-prove"],
)


@pytest.mark.parametrize("arguments", NEED_A_SITE, ids=" ".join)
@pytest.mark.parametrize("where", ["here", "named"])
def test_without_a_site_a_command_ends_with_3_and_creates_nothing(
    stackctl: Command, site: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, where: str, arguments: list[str]
) -> None:
    folder = tmp_path / "elsewhere"
    folder.mkdir()
    (folder / ".env").write_text("NODE_ENV=production\n")  # another program's
    monkeypatch.chdir(folder)
    done = stackctl(*(["--site", tmp_path / "a sight"] if where == "named" else []), *arguments)
    assert (done.code, done.out) == (3, "")
    assert "No site here" in done.err or f"No site at {tmp_path / 'a sight'}" in done.err
    assert f"the nearest one is {site}" in done.err
    assert "stackctl init" in done.err
    assert [path.name for path in folder.iterdir()] == [".env"]
    assert not (tmp_path / "a sight").exists()


@pytest.mark.parametrize(
    "arguments",
    [
        ["doctor"],
        ["models", "recommend", "--memory-gb", "8"],
        ["config", "--schema"],
        ["config", "--example"],
        ["offline-keygen", "--out", "../keys"],
        ["up", "--help"],
    ],
    ids=" ".join,
)
def test_what_needs_no_site_works_in_any_folder(
    stackctl: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: list[str]
) -> None:
    folder = tmp_path / "elsewhere"
    folder.mkdir()
    (folder / ".env").write_text("NODE_ENV=production\n")
    monkeypatch.chdir(folder)
    done = stackctl(*arguments)
    assert done.code in (0, 6 if arguments == ["doctor"] else 0), done.err
    assert "NODE_ENV" not in done.out + done.err
    assert (arguments == ["doctor"]) is ("No site here" in done.out)
    assert [path.name for path in folder.iterdir()] == [".env"]


def test_a_bug_is_exit_code_1_and_shows_its_traceback_on_demand(
    stackctl: Command, site: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import stackctl.operations.site.load_settings as operation

    def fail(effects: object) -> None:
        raise ZeroDivisionError("planned")

    monkeypatch.setattr(operation, "load_settings", fail)
    done = stackctl("config")
    assert done.code == 1
    assert "this is a bug: ZeroDivisionError: planned" in done.err
    assert "next:  run it again as 'stackctl --debug COMMAND'" in done.err
    monkeypatch.setattr(sys, "argv", ["stackctl", "--debug", "config"])
    from stackctl.cli.main import main

    with pytest.raises(ZeroDivisionError):
        main()


def test_the_readme_lists_every_make_target() -> None:
    targets = re.findall(r"^([a-z0-9-]+):.*## ", (CHECKOUT / "Makefile").read_text(), re.MULTILINE)
    assert {"setup", "up-p1", "down", "status", "health", "logs", "test", "check", "bench", "render"} <= set(targets)
    readme = (CHECKOUT / "README.md").read_text()
    assert [name for name in targets if name != "help" and not re.search(rf"(make |`){name}`", readme)] == []


def test_json_of_a_stopped_stack_has_the_keys_of_a_running_one(stackctl: Command, site: Path) -> None:
    status = stackctl("status", "--json").read_json()
    assert status == {"running": False, "runtime": "", "device": "", "services": [], "release": "", "notice": ""}
    health = stackctl("health", "--json")
    assert health.code == 6
    assert health.read_json() == {"status": "stopped", "runtime": "", "device": "", "notice": "", "results": []}
    assert "The stack is not running" in health.err


def test_a_site_of_its_own_has_the_schema_that_its_file_names(stackctl: Command, site: Path) -> None:
    (line,) = [line for line in (site / "stack.yml").read_text().splitlines() if "$schema=" in line]
    schema = site / line.partition("$schema=")[2]
    assert json.loads(schema.read_text()) == stackctl("config", "--schema").read_json()
