"""What local-chat is, and how requests for it are treated, where `.env` has other tools' names."""

from __future__ import annotations

import re

import pytest

from tests.fakes import CHECKOUT
from tests.unit.settings.name_overlays import (
    DEVELOPMENT,
    INTERNAL,
    OLLAMA,
    PRODUCTION,
    list_errors,
    list_targets,
    overlay,
)


def test_in_production_local_chat_is_the_internal_api_and_then_ollama() -> None:
    made = overlay(PRODUCTION + OLLAMA)
    assert made.findings == ()
    assert list_targets(made) == [("internal", "gpt-4"), ("ollama", "llama3.1")]
    assert made.chat_name == "engine-chat"


def test_in_production_without_ollama_nothing_is_tried_after_the_internal_api() -> None:
    made = overlay(PRODUCTION)
    assert list_targets(made) == [("internal", "gpt-4")]


def test_in_development_local_chat_is_ollama_whatever_else_is_configured() -> None:
    for text in (DEVELOPMENT, DEVELOPMENT + INTERNAL):
        made = overlay(text)
        assert made.findings == ()
        assert list_targets(made) == [("ollama", "llama3.1")]
    assert list_targets(made, "internal-chat") == [("internal", "gpt-4")]


def test_without_environment_local_chat_stays_this_stack_s_own() -> None:
    made = overlay(INTERNAL + OLLAMA)
    assert (made.chat_name, made.stackfile.routes) == ("local-chat", {})
    assert list_targets(made, "internal-chat") == [("internal", "gpt-4")]
    assert list_targets(made, "ollama-chat") == [("ollama", "llama3.1")]


def test_providers_of_stack_yml_are_found_too() -> None:
    stack = """
providers:
  house: {kind: ollama, api_base: 'http://10.0.0.5:11434', models: {e: {model: embed, mode: embedding}, q: {model: q}}}
"""
    made = overlay("ENVIRONMENT=development\n", stack)
    assert made.findings == ()
    assert list_targets(made) == [("house", "q")]
    assert list_targets(overlay(PRODUCTION, stack)) == [("internal", "gpt-4"), ("house", "q")]


def test_fallbacks_of_stack_yml_come_after_what_the_environment_says() -> None:
    stack = "routes: {local-chat: {fallbacks: [ollama-chat, engine-chat], local_only: true}}"
    made = overlay(PRODUCTION + OLLAMA, stack)
    assert list_targets(made) == [("internal", "gpt-4"), ("ollama", "llama3.1"), ("engine", "engine-chat")]
    assert made.stackfile.routes["local-chat"].local_only


def test_targets_of_stack_yml_for_local_chat_are_refused_beside_an_environment() -> None:
    stack = "routes: {local-chat: {targets: [local-code]}}"
    (finding,) = list_errors(DEVELOPMENT, stack)
    assert (finding.subject, finding.hint) == ("ENVIRONMENT", "remove one of the two")
    assert list_errors(OLLAMA, stack) == []


def test_a_provider_of_stack_yml_may_serve_local_chat_itself_if_it_is_the_one_that_is_meant() -> None:
    stack = "providers: {{x: {{kind: {}, api_base: 'http://h/v1', models: {{local-chat: {{model: m}}}}}}}}"
    assert list_targets(overlay("ENVIRONMENT=production\n", stack.format("internal"))) == [("x", "m")]
    (finding,) = list_errors(DEVELOPMENT, stack.format("internal"))
    assert "something else than the model of that name" in finding.message


def test_limits_of_local_chat_stay_with_this_stack_s_own_engine() -> None:
    stack = "limits: {models: {local-chat: {parallel_requests: 2}, local-code: {parallel_requests: 3}}}"
    assert set(overlay(DEVELOPMENT, stack).stackfile.limits.models) == {"engine-chat", "local-code"}
    assert set(overlay(OLLAMA, stack).stackfile.limits.models) == {"local-chat", "local-code"}


@pytest.mark.parametrize("environment", ["", PRODUCTION])
def test_requests_for_local_chat_are_treated_as_the_names_say(environment: str) -> None:
    stack = "routes: {local-chat: {deadline: 9, defaults: {max_tokens: 64, temperature: 1}}}"
    made = overlay(f"{environment}LLM_TIMEOUT=60\nLLM_MAX_RETRIES=0\nLLM_TEMPERATURE=0.7\n", stack)
    assert made.findings == ()
    route = made.stackfile.routes["local-chat"]
    assert (route.deadline, route.retries) == (60.0, 0)
    assert route.defaults.list_values() == {"temperature": 0.7, "max_tokens": 64}
    assert made.became["LLM_TIMEOUT"] == "routes.local-chat.deadline"


def test_what_is_not_said_stays_as_stack_yml_has_it() -> None:
    stack = "routes: {local-chat: {deadline: 9, retries: 1}}"
    route = overlay("LLM_TEMPERATURE=0\n", stack).stackfile.routes["local-chat"]
    assert (route.deadline, route.retries, route.defaults.temperature) == (9.0, 1, 0.0)


@pytest.mark.parametrize(
    ("environment", "address"), [("production", "INTERNAL_LLM_BASE_URL"), ("development", "OLLAMA_BASE_URL")]
)
def test_an_environment_without_its_provider_names_the_variable_that_is_missing(environment: str, address: str) -> None:
    (finding,) = list_errors(f"ENVIRONMENT={environment}\n")
    assert finding.subject == "ENVIRONMENT"
    assert f"{address} is not set" in finding.message
    assert finding.hint.startswith(f"add {address}=... to .env")


def test_a_model_that_has_the_engine_s_other_name_is_refused_under_an_environment() -> None:
    stack = "models: {engine-chat: {file: x.gguf}}"
    assert [finding.subject for finding in list_errors(DEVELOPMENT, stack)] == ["ENVIRONMENT"]
    assert list_errors(OLLAMA, stack) == []


def test_an_internal_api_in_the_building_is_said_in_stack_yml_with_the_same_variables() -> None:
    """As docs/guides/local-and-cloud.md shows it."""
    guide = (CHECKOUT / "docs" / "guides" / "local-and-cloud.md").read_text(encoding="utf-8")
    (stack,) = re.findall(r"```yaml\n(providers:.*?)```", guide, re.DOTALL)
    lines = [line for line in PRODUCTION.splitlines(True) if not re.match("INTERNAL_LLM_(BASE_URL|MODEL)", line)]
    made = overlay("".join(lines), stack)
    assert made.findings == ()
    assert list_targets(made) == [("internal", "gpt-4")]
    assert made.stackfile.providers["internal"].local


@pytest.mark.parametrize("text", ["0", "0.7", ".7", "1", "1.25", "2", "2.0"])
def test_every_temperature_from_0_to_2_is_one(text: str) -> None:
    route = overlay(f"LLM_TEMPERATURE={text}\n").stackfile.routes["local-chat"]
    assert route.defaults.temperature == float(text)
