"""Names of other tools in `.env`: how they are read, what they turn into, and what is refused."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stackctl.core.gateway.routes import list_targets as find_targets
from stackctl.core.settings.dotenv import parse_dotenv
from stackctl.core.settings.names.overlay import Overlay, build_overlay
from stackctl.core.settings.names.reference import list_rows, render_names
from stackctl.core.settings.names.table import PLACES, list_names, list_secret_names, name_keys
from stackctl.core.settings.names.values import read_names
from stackctl.core.settings.provider_checks import check_providers
from stackctl.core.settings.settings import setting_names
from stackctl.core.settings.stackfile import Provider, RemoteModel, Route, StackFile
from stackctl.core.settings.stackfile_reader import parse_stackfile
from stackctl.errors import Finding, Severity
from tests.fakes import CHECKOUT

INTERNAL = """\
INTERNAL_LLM_BASE_URL=https://internal-llm-api.company.com
INTERNAL_LLM_API_KEY=planted-key
INTERNAL_LLM_MODEL=gpt-4
INTERNAL_LLM_TICKET=planted-ticket
USER_ID=your_user_id
USER_TYPE=AD
"""
OLLAMA = "OLLAMA_BASE_URL=http://localhost:11434\nOLLAMA_MODEL=llama3.1\n"
PRODUCTION = f"ENVIRONMENT=production\n{INTERNAL}"
DEVELOPMENT = f"ENVIRONMENT=development\n{OLLAMA}"


def overlay(text: str, stack: str = "") -> Overlay:
    return build_overlay(read_names([parse_dotenv(text)]), parse_stackfile(stack))


def list_errors(text: str, stack: str = "") -> list[Finding]:
    return [finding for finding in overlay(text, stack).findings if finding.severity is Severity.ERROR]


def list_targets(made: Overlay, name: str = "local-chat") -> list[tuple[str, str]]:
    """Provider and its own name of the model, of all that is tried for a served name."""
    served = {
        served_name: (provider, model.model)
        for provider, item in made.stackfile.providers.items()
        for served_name, model in item.models.items()
    }
    return [served.get(target, ("engine", target)) for target in find_targets(made.stackfile.routes, name)]


def test_without_the_names_nothing_changes() -> None:
    stack = parse_stackfile("routes: {local-chat: {fallbacks: [local-code]}}")
    made = build_overlay(read_names([parse_dotenv("CHAT_MODEL=x.gguf\nOPENAI_API_KEY=k\n")]), stack)
    assert made.stackfile == stack
    assert (made.chat_name, made.findings, made.became) == ("local-chat", (), {})


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


def test_switches_decide_settings_only_when_they_are_on() -> None:
    made = overlay("MYCODER_DISABLE_EMBEDDINGS=1\nLLM_DEBUG=true\n")
    assert made.settings == {"GATEWAY_EMBEDDINGS": False, "GATEWAY_LOG_LEVEL": "debug"}
    assert made.became == {
        "MYCODER_DISABLE_EMBEDDINGS": "GATEWAY_EMBEDDINGS=false",
        "LLM_DEBUG": "GATEWAY_LOG_LEVEL=debug",
    }
    made = overlay("MYCODER_DISABLE_EMBEDDINGS=0\nLLM_DEBUG=false\n")
    assert (made.settings, set(made.became.values())) == ({}, {"nothing"})


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


def test_the_smoke_test_s_switch_is_taken_and_told_to_do_nothing_here() -> None:
    (finding,) = overlay("MYCODER_LMSTUDIO_SMOKE=1\n").findings
    assert finding.severity is Severity.WARNING
    assert "'make test' reads it from the environment" in finding.message


@pytest.mark.parametrize(
    ("environment", "address"), [("production", "INTERNAL_LLM_BASE_URL"), ("development", "OLLAMA_BASE_URL")]
)
def test_an_environment_without_its_provider_names_the_variable_that_is_missing(environment: str, address: str) -> None:
    (finding,) = list_errors(f"ENVIRONMENT={environment}\n")
    assert finding.subject == "ENVIRONMENT"
    assert f"{address} is not set" in finding.message
    assert finding.hint.startswith(f"add {address}=... to .env")


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


@pytest.mark.parametrize("address", ["http://h/v1/chat/completions", "http://h/v1/v1", "http://[::1/v1"])
def test_an_address_is_checked_as_in_stack_yml_and_named_as_in_env(address: str) -> None:
    (finding,) = list_errors(f"MYCODER_OPENAI_BASE_URL={address}\nMYCODER_CHAT_MODEL=m\n")
    assert finding.subject == "MYCODER_OPENAI_BASE_URL"


def test_a_provider_of_the_same_name_in_stack_yml_is_refused() -> None:
    stack = "providers: {ollama: {kind: ollama, api_base: 'http://h:11434', models: {x: {model: x}}}}"
    (finding,) = list_errors(OLLAMA, stack)
    assert finding.subject == "OLLAMA_BASE_URL"
    assert "stack.yml has one of that name" in finding.message


def test_a_model_that_has_the_engine_s_other_name_is_refused_under_an_environment() -> None:
    stack = "models: {engine-chat: {file: x.gguf}}"
    assert [finding.subject for finding in list_errors(DEVELOPMENT, stack)] == ["ENVIRONMENT"]
    assert list_errors(OLLAMA, stack) == []


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


def test_an_internal_api_in_the_building_is_said_in_stack_yml_with_the_same_variables() -> None:
    """As docs/guides/local-and-cloud.md shows it."""
    guide = (CHECKOUT / "docs" / "guides" / "local-and-cloud.md").read_text(encoding="utf-8")
    (stack,) = re.findall(r"```yaml\n(providers:.*?)```", guide, re.DOTALL)
    lines = [line for line in PRODUCTION.splitlines(True) if not re.match("INTERNAL_LLM_(BASE_URL|MODEL)", line)]
    made = overlay("".join(lines), stack)
    assert made.findings == ()
    assert list_targets(made) == [("internal", "gpt-4")]
    assert made.stackfile.providers["internal"].local


def test_each_name_is_shown_with_what_it_turned_into_and_no_secret() -> None:
    rows = {name: (value, became) for name, value, became in list_rows(overlay(PRODUCTION + OLLAMA))}
    assert rows["ENVIRONMENT"][1] == "routes.local-chat.targets: internal-chat, ollama-chat; CHAT_MODEL is engine-chat"
    assert rows["INTERNAL_LLM_API_KEY"] == ("(secret, 11 characters)", "providers.internal.api_key")
    assert rows["USER_ID"][0] == "your_user_id"
    assert "planted" not in str(rows)


@pytest.mark.parametrize("text", ["0", "0.7", ".7", "1", "1.25", "2", "2.0"])
def test_every_temperature_from_0_to_2_is_one(text: str) -> None:
    route = overlay(f"LLM_TEMPERATURE={text}\n").stackfile.routes["local-chat"]
    assert route.defaults.temperature == float(text)


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


def test_no_name_is_a_setting_and_secrets_are_never_taken_along() -> None:
    assert not name_keys() & set(setting_names())
    assert list_secret_names() == {"INTERNAL_LLM_API_KEY", "INTERNAL_LLM_TICKET", "MYCODER_OPENAI_API_KEY"}
    assert len(set(PLACES.values())) == len(PLACES)


def test_the_page_has_a_row_of_five_cells_for_every_name() -> None:
    rows = [line for line in render_names().splitlines() if line.startswith("| `")]
    assert [row.split("`")[1] for row in rows] == [item.name.upper() for item in list_names()]
    assert {row.replace("\\|", "").count("|") for row in rows} == {6}
