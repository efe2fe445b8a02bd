"""What a person or a program sees of each command that is for one site: results, exit codes, files."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from stackctl.core.settings.dotenv import parse_dotenv, set_values
from stackctl.core.stack.names import RELAY_FILE
from stackctl.core.stack.render import TEMPLATES
from tests.cli.conftest import Command
from tests.fakes import CHECKOUT, KEYS, World, write_env


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


def test_config_shows_what_each_name_of_another_tool_turned_into(
    stackctl: Command, site: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with (site / ".env").open("a") as file:
        file.write("ENVIRONMENT=development\nOLLAMA_BASE_URL=http://localhost:11434\nOLLAMA_MODEL=llama3.1\n")
        file.write("MYCODER_OPENAI_BASE_URL=https://api.openai.com/v1\nMYCODER_OPENAI_API_KEY=sk-planted\n")
        file.write("MYCODER_CHAT_MODEL=gpt-4o\nUSER_ID=me\n")
    monkeypatch.setenv("ENVIRONMENT", "production")
    table, data = stackctl("config"), stackctl("config", "--json").read_json()
    assert re.search(r"^ENVIRONMENT +development +routes\.local-chat\.targets: ollama-chat", table.out, re.MULTILINE)
    assert data["OLLAMA_BASE_URL"] == {
        "value": "http://localhost:11434",
        "origin": ".env",
        "became": "providers.ollama.api_base",
    }
    assert data["MYCODER_OPENAI_API_KEY"]["value"] == "(secret, 10 characters)"
    assert data["USER_ID"]["became"] == "nothing"
    assert "USER_ID: changes nothing without INTERNAL_LLM_BASE_URL" in table.err
    assert "planted" not in table.out + table.err + str(data)


@pytest.mark.parametrize(
    ("option", "file"),
    [
        ("--example", ".env.example"),
        ("--reference", "docs/reference/settings.md"),
        ("--names", "docs/reference/environment-names.md"),
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


def test_render_litellm_prints_a_configuration_or_writes_it(stackctl: Command, site: Path, tmp_path: Path) -> None:
    printed = stackctl("render", "--litellm")
    assert printed.code == 0
    assert printed.out.startswith("# This stack's routes for LiteLLM's own proxy")
    assert not (site / ".stack").exists()
    done = stackctl("render", "--litellm", "--out", tmp_path)
    assert done.out == f"{tmp_path / 'litellm.yaml'}\n"
    assert (tmp_path / "litellm.yaml").read_text() == printed.out
    assert stackctl("render", "--litellm", "--check").code == 2


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


@pytest.mark.parametrize(("model", "is_told"), [("", True), ("mine.gguf", False)])
def test_up_says_how_to_serve_a_model_of_ones_own_while_the_demo_answers(
    stackctl: Command, site: Path, monkeypatch: pytest.MonkeyPatch, model: str, is_told: bool
) -> None:
    world = World(write_env(CHAT_MODEL=model))
    monkeypatch.setattr("stackctl.cli.world.effects.build_effects", lambda *_: world.effects)
    done = stackctl("up")
    assert (done.code, "The stack is up" in done.out) == (0, True)
    assert ("set CHAT_MODEL in .env to a GGUF file in models/, then stackctl up" in done.out) is is_told


def test_models_says_what_it_would_serve_while_the_stack_is_down(stackctl: Command, site: Path) -> None:
    rows = {row["served_name"]: row for row in stackctl("models", "--json").read_json()}
    assert set(rows) == {"local-chat", "local-embed"}
    chat = rows["local-chat"]
    assert (chat["file"], chat["listed"], chat["note"]) == (
        "demo.gguf",
        False,
        "demo model, this model cannot call tools",
    )
    assert chat["context_length"] > 0
    assert "MiB" in stackctl("models").out


def test_json_of_a_stopped_stack_has_the_keys_of_a_running_one(stackctl: Command, site: Path) -> None:
    status = stackctl("status", "--json").read_json()
    nothing = {"runtime": "", "device": "", "services": [], "release": "", "notice": "", "warnings": []}
    assert status == {"running": False, **nothing}
    health = stackctl("health", "--json")
    assert health.code == 6
    assert health.read_json() == {"status": "stopped", "runtime": "", "device": "", "notice": "", "results": []}
    assert "The stack is not running" in health.err


def test_a_site_of_its_own_has_the_schema_that_its_file_names(stackctl: Command, site: Path) -> None:
    (line,) = [line for line in (site / "stack.yml").read_text().splitlines() if "$schema=" in line]
    schema = site / line.partition("$schema=")[2]
    assert json.loads(schema.read_text()) == stackctl("config", "--schema").read_json()
