"""Names of other tools in `.env`: how they are read and shown, what changes nothing, and what is refused."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stackctl.core.settings.dotenv import parse_dotenv
from stackctl.core.settings.names.overlay import build_overlay
from stackctl.core.settings.names.reference import list_rows, render_names
from stackctl.core.settings.names.table import PLACES, list_names, list_secret_names, name_keys
from stackctl.core.settings.names.values import read_names
from stackctl.core.settings.provider_checks import check_providers
from stackctl.core.settings.settings import setting_names
from stackctl.core.settings.stackfile_reader import parse_stackfile
from stackctl.errors import Severity
from tests.unit.settings.name_overlays import OLLAMA, PRODUCTION, overlay


def test_without_the_names_nothing_changes() -> None:
    stack = parse_stackfile("routes: {local-chat: {fallbacks: [local-code]}}")
    made = build_overlay(read_names([parse_dotenv("CHAT_MODEL=x.gguf\nOPENAI_API_KEY=k\n")]), stack)
    assert made.stackfile == stack
    assert (made.chat_name, made.findings, made.became) == ("local-chat", (), {})


def test_switches_decide_settings_only_when_they_are_on() -> None:
    made = overlay("MYCODER_DISABLE_EMBEDDINGS=1\nLLM_DEBUG=true\n")
    assert made.settings == {"GATEWAY_EMBEDDINGS": False, "GATEWAY_LOG_LEVEL": "debug"}
    assert made.became == {
        "MYCODER_DISABLE_EMBEDDINGS": "GATEWAY_EMBEDDINGS=false",
        "LLM_DEBUG": "GATEWAY_LOG_LEVEL=debug",
    }
    made = overlay("MYCODER_DISABLE_EMBEDDINGS=0\nLLM_DEBUG=false\n")
    assert (made.settings, set(made.became.values())) == ({}, {"nothing"})


def test_the_smoke_test_s_switch_is_taken_and_told_to_do_nothing_here() -> None:
    (finding,) = overlay("MYCODER_LMSTUDIO_SMOKE=1\n").findings
    assert finding.severity is Severity.WARNING
    assert "'make test' reads it from the environment" in finding.message


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("ENVIRONMENT", "prodution", "expected one of production, development; did you mean 'production'?"),
        ("OLLAMA_BASE_URL", "localhost:11434", "expected an address such as"),
        ("INTERNAL_LLM_BASE_URL", "https://me:planted@host/v1", "without a user name"),
        ("OLLAMA_MODEL", "two words", "expected a name without spaces"),
        ("LLM_TIMEOUT", "60s", "expected a whole number from 1 to 86400 (seconds)"),
        ("LLM_MAX_RETRIES", "11", "expected a whole number from 0 to 10 (tries)"),
        ("LLM_TEMPERATURE", "2.5", "expected a number from 0 to 2"),
        ("LLM_TEMPERATURE", "warm", "expected a number from 0 to 2"),
        ("LLM_DEBUG", "maybe", "expected true or false"),
    ],
)
def test_a_value_that_is_none_is_named_with_its_line(name: str, value: str, words: str) -> None:
    finding = next(item for item in overlay(f"#\n{name}='{value}'\n").findings if item.subject == name)
    assert (finding.file, finding.line) == (".env", 2)
    assert words in finding.message
    assert "planted" not in finding.render_text()


def test_a_name_that_changes_nothing_is_told() -> None:
    made = overlay("USER_ID=me\nINTERNAL_LLM_API_KEY=planted\nOLLAMA_MODEL=m\n")
    assert {(item.subject, item.severity) for item in made.findings} == {
        ("USER_ID", Severity.WARNING),
        ("INTERNAL_LLM_API_KEY", Severity.WARNING),
        ("OLLAMA_MODEL", Severity.WARNING),
    }
    assert set(made.became.values()) == {"nothing"}


def test_a_name_that_stack_yml_uses_itself_is_no_matter() -> None:
    stack = "providers: {x: {kind: vllm, api_base: 'http://h/v1', headers: {X-User: USER_ID}, models: {m: {model: m}}}}"
    made = overlay("USER_ID=me\n", stack)
    assert (made.findings, made.became) == ((), {"USER_ID": "what stack.yml names it for"})


def test_each_name_is_shown_with_what_it_turned_into_and_no_secret() -> None:
    rows = {name: (value, became) for name, value, became in list_rows(overlay(PRODUCTION + OLLAMA))}
    assert rows["ENVIRONMENT"][1] == "routes.local-chat.targets: internal-chat, ollama-chat; CHAT_MODEL is engine-chat"
    assert rows["INTERNAL_LLM_API_KEY"] == ("(secret, 11 characters)", "providers.internal.api_key")
    assert rows["USER_ID"][0] == "your_user_id"
    assert "planted" not in str(rows)


_TEXTS = st.text(st.characters(codec="utf-8", exclude_characters="'\\\r\n\0", exclude_categories=["Cs"]), max_size=24)


@given(st.dictionaries(st.sampled_from(sorted(name_keys())), _TEXTS | st.sampled_from(["1", "true", "http://h:1/v1"])))
def test_whatever_a_value_is_it_is_read_or_refused_and_a_secret_is_never_shown(values: dict[str, str]) -> None:
    secrets = {name: f"planted{value}" for name, value in values.items() if name in list_secret_names()}
    made = overlay("".join(f"{name}='{value}'\n" for name, value in {**values, **secrets}.items()))
    shown = repr((made, list_rows(made))) + "".join(finding.render_text() + finding.hint for finding in made.findings)
    assert "planted" not in shown
    assert set(made.became) == made.names.given
    if not [finding for finding in made.findings if finding.severity is Severity.ERROR]:
        assert check_providers(made.stackfile) == []


def test_no_representation_holds_a_secret() -> None:
    assert "planted" not in repr(overlay(PRODUCTION))


def test_no_name_is_a_setting_and_secrets_are_never_taken_along() -> None:
    assert not name_keys() & set(setting_names())
    assert list_secret_names() == {"INTERNAL_LLM_API_KEY", "INTERNAL_LLM_TICKET", "MYCODER_OPENAI_API_KEY"}
    assert len(set(PLACES.values())) == len(PLACES)


def test_the_page_has_a_row_of_five_cells_for_every_name() -> None:
    rows = [line for line in render_names().splitlines() if line.startswith("| `")]
    assert [row.split("`")[1] for row in rows] == [item.name.upper() for item in list_names()]
    assert {row.replace("\\|", "").count("|") for row in rows} == {6}
