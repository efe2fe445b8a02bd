"""The providers that other tools' names in `.env` make, and what of them is refused."""

from __future__ import annotations

import pytest

from stackctl.core.settings.dotenv import parse_dotenv
from stackctl.core.settings.names.overlay import build_overlay
from stackctl.core.settings.names.values import read_names
from stackctl.core.settings.stackfile import Provider, RemoteModel, Route, StackFile
from stackctl.errors import Finding, Severity
from tests.unit.settings.name_overlays import (
    DEVELOPMENT,
    INTERNAL,
    OLLAMA,
    PRODUCTION,
    list_errors,
    list_targets,
    overlay,
)


def test_an_interval_between_requests_is_kept_for_the_provider_of_that_tool_alone() -> None:
    made = overlay(
        f"{DEVELOPMENT}MYCODER_OPENAI_BASE_URL=http://h/v1\nMYCODER_CHAT_MODEL=m\nMYCODER_LLM_MIN_INTERVAL_MS=500\n"
    )
    intervals = {name: item.min_interval_ms for name, item in made.stackfile.providers.items()}
    assert intervals == {"ollama": 0, "mycoder": 500}
    assert made.became["MYCODER_LLM_MIN_INTERVAL_MS"] == "providers.mycoder.min_interval_ms"
    assert made.findings == ()


def test_an_interval_without_its_provider_is_told_to_do_nothing() -> None:
    (finding,) = overlay("MYCODER_LLM_MIN_INTERVAL_MS=500\n").findings
    assert (finding.severity, finding.message) == (
        Severity.WARNING,
        "changes nothing without MYCODER_OPENAI_BASE_URL",
    )


@pytest.mark.parametrize(
    ("address", "model"),
    [
        ("INTERNAL_LLM_BASE_URL", "INTERNAL_LLM_MODEL"),
        ("OLLAMA_BASE_URL", "OLLAMA_MODEL"),
        ("MYCODER_OPENAI_BASE_URL", "MYCODER_CHAT_MODEL"),
    ],
)
def test_an_address_without_a_model_names_the_model_s_variable(address: str, model: str) -> None:
    (finding,) = list_errors(f"{address}=http://host:1/v1\n")
    assert (finding.subject, finding.hint) == (address, f"add {model}=... to .env")


def test_vllm_needs_its_address_alone() -> None:
    made = overlay("VLLM_BASE_URL=http://localhost:8001/v1\n")
    assert made.findings == ()
    assert list_targets(made, "vllm-chat") == [("vllm", "Qwen/Qwen2.5-Coder-7B-Instruct")]
    assert list_targets(overlay("VLLM_BASE_URL=http://h/v1\nVLLM_MODEL=m\n"), "vllm-chat") == [("vllm", "m")]


def test_the_internal_api_is_asked_under_v1_and_told_who_asks() -> None:
    provider = overlay(INTERNAL).stackfile.providers["internal"]
    assert provider.api_base == "https://internal-llm-api.company.com/v1"
    assert provider.api_key == "INTERNAL_LLM_API_KEY"
    assert sorted(overlay(INTERNAL).stackfile.list_variables()) == [
        "INTERNAL_LLM_API_KEY",
        "INTERNAL_LLM_TICKET",
        "USER_ID",
        "USER_TYPE",
    ]
    moved = overlay(INTERNAL.replace("company.com", "company.com/llm/openai/"))
    assert moved.stackfile.providers["internal"].api_base == "https://internal-llm-api.company.com/llm/openai"


def test_a_server_of_openai_s_format_is_served_under_a_lasting_name_and_its_own() -> None:
    made = overlay(
        "MYCODER_OPENAI_BASE_URL=http://192.168.0.227:3620/v1\nMYCODER_OPENAI_API_KEY=\n"
        "MYCODER_EMBEDDING_MODEL=text-embedding-3-small\nMYCODER_CHAT_MODEL=gpt-3.5-turbo\n"
    )
    assert made.findings == ()
    provider = made.stackfile.providers["mycoder"]
    assert (provider.kind, provider.api_key) == ("openai-compatible", "MYCODER_OPENAI_API_KEY")
    modes = {name: (model.model, model.mode) for name, model in provider.models.items()}
    assert modes == {
        "mycoder-chat": ("gpt-3.5-turbo", "chat"),
        "mycoder-embed": ("text-embedding-3-small", "embedding"),
        "gpt-3.5-turbo": ("gpt-3.5-turbo", "chat"),
        "text-embedding-3-small": ("text-embedding-3-small", "embedding"),
    }


@pytest.mark.parametrize("model", ["local-chat", "taken", "ollama-chat", "modèle"])
def test_a_model_whose_own_name_is_taken_or_none_has_its_lasting_name_alone(model: str) -> None:
    stack = "models: {taken: {file: x.gguf}}"
    made = overlay(f"MYCODER_OPENAI_BASE_URL=http://h:1/v1\nMYCODER_CHAT_MODEL={model}\n", stack)
    assert list(made.stackfile.providers["mycoder"].models) == ["mycoder-chat"]


def test_openai_s_own_address_wants_a_key() -> None:
    cloud = "MYCODER_OPENAI_BASE_URL=https://api.openai.com/v1\nMYCODER_CHAT_MODEL=gpt-4o\n"
    for text in (cloud, f"{cloud}MYCODER_OPENAI_API_KEY=\n"):
        (finding,) = list_errors(text)
        assert finding.subject == "MYCODER_OPENAI_API_KEY"
        assert "api.openai.com answers nobody without a key" in finding.message
    made = overlay(f"{cloud}MYCODER_OPENAI_API_KEY=sk-planted\n")
    assert made.findings == ()
    assert made.stackfile.providers["mycoder"].kind == "openai"


@pytest.mark.parametrize("address", ["http://h/v1/chat/completions", "http://h/v1/v1", "http://[::1/v1"])
def test_an_address_is_checked_as_in_stack_yml_and_named_as_in_env(address: str) -> None:
    (finding,) = list_errors(f"MYCODER_OPENAI_BASE_URL={address}\nMYCODER_CHAT_MODEL=m\n")
    assert finding.subject == "MYCODER_OPENAI_BASE_URL"


def test_a_provider_of_the_same_name_in_stack_yml_is_refused() -> None:
    stack = "providers: {ollama: {kind: ollama, api_base: 'http://h:11434', models: {x: {model: x}}}}"
    (finding,) = list_errors(OLLAMA, stack)
    assert finding.subject == "OLLAMA_BASE_URL"
    assert "stack.yml has one of that name" in finding.message


def test_findings_of_what_was_made_are_about_the_name_and_those_of_stack_yml_are_its_own() -> None:
    file = StackFile(
        providers={"mine": Provider(kind="vllm", api_base="http://h/v1", models={"m": RemoteModel(model="m")})},
        routes={"local-chat": Route(fallbacks=("m",))},
    )
    made = build_overlay(read_names([parse_dotenv(PRODUCTION)]), file)
    subjects = {
        "providers.internal.models.internal-chat": "INTERNAL_LLM_MODEL",
        "providers.internal.api_key": "INTERNAL_LLM_API_KEY",
        "providers.internal": "INTERNAL_LLM_BASE_URL",
        "providers.mine.api_base": "providers.mine.api_base",
        "routes.local-chat": "routes.local-chat",
        "routes.local-chat.targets": "ENVIRONMENT",
    }
    assert {subject: made.rename(Finding(subject, "x")).subject for subject in subjects} == subjects
