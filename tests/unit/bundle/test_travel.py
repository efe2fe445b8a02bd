"""What of a site travels: its own settings and not its machine's, and no secret."""

from __future__ import annotations

from dataclasses import fields

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stackctl.core.bundle.pack.travel import (
    MACHINE_SETTINGS,
    check_compose,
    check_texts,
    drop_machine_settings,
    render_settings,
)
from stackctl.core.settings.dotenv import DotenvFile, parse_dotenv
from stackctl.core.settings.names.overlay import build_overlay
from stackctl.core.settings.names.table import is_travelling, list_names
from stackctl.core.settings.names.values import read_names
from stackctl.core.settings.settings import Settings, setting_names
from stackctl.core.settings.sources import apply_overlay, resolve_settings
from stackctl.core.settings.stackfile import StackFile


def travel(values: dict[str, str]) -> dict[str, str]:
    resolved = resolve_settings(DotenvFile(".env", values), {}, {})
    return dict(parse_dotenv(render_settings(resolved)).values)


def test_only_what_was_set_travels() -> None:
    assert travel({"CONTEXT_LENGTH": "4096", "STACK_NAME": "team"}) == {"CONTEXT_LENGTH": "4096", "STACK_NAME": "team"}


def test_a_model_travels_by_its_file_name() -> None:
    assert travel({"CHAT_MODEL": "/srv/models/chat.gguf"}) == {"CHAT_MODEL": "chat.gguf"}


def test_secrets_and_settings_of_one_machine_stay() -> None:
    places = {"BIND_ADDRESS": "127.0.0.2", "API_GATEWAY_PORT": "18000", "INFERENCE_PORT": "18001"}
    assert travel({"GATEWAY_KEY": "sk-0123456789abcd", "MODELS_DIR": "/srv", **places}) == {}


def test_settings_of_one_machine_are_as_if_nobody_had_set_them() -> None:
    settings = Settings(bind_address="10.1.2.3", inference_threads=7, inference_slots=2)
    assert drop_machine_settings(settings) == Settings(inference_slots=2)


def test_every_setting_of_one_machine_exists() -> None:
    assert set(setting_names()) >= MACHINE_SETTINGS


def test_no_secret_is_ever_packed() -> None:
    secrets = {item.name.upper(): "s" * 32 for item in fields(Settings) if item.metadata["secret"]}
    secrets |= {name: f"postgresql://u:{text}@h/d" for name, text in secrets.items() if name.endswith("_URL")}
    assert secrets
    assert travel(secrets) == {}


@given(st.text(st.characters(codec="utf-8", exclude_characters="\r\n\0", exclude_categories=["C"]), min_size=1))
def test_any_file_name_comes_back_as_it_was(name: str) -> None:
    wanted = name.rsplit("/", 1)[-1]
    if wanted.strip() != wanted or not wanted or wanted in (".", ".."):
        return
    assert travel({"CHAT_MODEL": wanted}) == {"CHAT_MODEL": wanted}


def travel_names(text: str) -> dict[str, str]:
    file = parse_dotenv(text)
    resolved = apply_overlay(resolve_settings(file, {}, {}), build_overlay(read_names([file]), StackFile()))
    return dict(parse_dotenv(render_settings(resolved)).values)


def test_of_other_tools_names_only_what_is_about_the_stack_travels() -> None:
    text = "LLM_TIMEOUT=60\nLLM_MAX_RETRIES=0\nLLM_TEMPERATURE=0.7\nMYCODER_DISABLE_EMBEDDINGS=1\n"
    assert travel_names(text) == {
        "GATEWAY_EMBEDDINGS": "false",
        "LLM_TIMEOUT": "60",
        "LLM_MAX_RETRIES": "0",
        "LLM_TEMPERATURE": "0.7",
    }


def test_no_other_name_of_another_tool_travels() -> None:
    values = {item.name.upper(): "1" for item in list_names() if not is_travelling(item)}
    values |= {name: "http://h/v1" for name in values if name.endswith("_URL")} | {"ENVIRONMENT": "development"}
    assert {"ENVIRONMENT", "USER_ID", "USER_TYPE", "INTERNAL_LLM_TICKET", "OLLAMA_BASE_URL"} <= values.keys()
    del values["LLM_DEBUG"]  # whose setting is left out before, when a bundle is packed
    assert travel_names("".join(f"{name}={value}\n" for name, value in values.items())) == {}


def test_a_secret_in_a_file_is_found_and_not_repeated() -> None:
    findings = list(check_texts({"config/stack.yml": "key: sk-0123456789abcdef"}, {"COMPANY_KEY": "sk-0123456789abcd"}))
    assert [finding.subject for finding in findings] == ["config/stack.yml"]
    assert "COMPANY_KEY" in findings[0].message
    assert "sk-0123456789abcd" not in findings[0].render_text()


@pytest.mark.parametrize(
    ("address", "is_found"),
    [
        ("https://ann:pass@gpu.example/v1", True),
        ("http://t0ken@gpu.example:8000", True),
        ("https://gpu.example/v1/@scope", False),
        ("mail ann@example.org", False),
    ],
)
def test_an_address_with_a_login_is_found_and_the_login_not_repeated(address: str, is_found: bool) -> None:
    findings = list(check_texts({"config/stack.yml": f'api_base: "{address}"'}, {}))
    assert [finding.subject for finding in findings] == ["config/stack.yml"] * is_found
    assert all("gpu.example" in f.message and "pass" not in f.message for f in findings)


@pytest.mark.parametrize(
    ("text", "subjects"),
    [
        ("services: {a: {image: x}}", []),
        ("services: {a: {build: ., image: x}}", []),
        ("services: {a: {build: .}, b: {build: .}}", ["compose.yml: a", "compose.yml: b"]),
        ("models: {m: {model: ai/x}}\nservices: {a: {image: x}}", ["compose.yml"]),
    ],
)
def test_a_project_that_needs_a_network_is_refused(text: str, subjects: list[str]) -> None:
    assert [finding.subject for finding in check_compose("compose.yml", text)] == subjects
