"""Settings: where a value comes from, what is wrong with it, and that no secret is ever shown."""

from __future__ import annotations

import re

import pytest

from stackctl.core.settings.dotenv import parse_dotenv
from stackctl.core.settings.settings import Settings, list_settings, mask_value, setting_names
from stackctl.core.settings.sources import Origin, ResolvedSettings, check_secrets, resolve_settings
from stackctl.errors import ConfigError, Finding
from tests.fakes import KEYS, raised_by


def resolve(text: str = "", environment: dict[str, str] | None = None, **flags: str) -> ResolvedSettings:
    return resolve_settings(parse_dotenv(text), environment or {}, flags)


def find_problem(name: str, value: str) -> Finding:
    """The one finding about a value that is not usable."""
    error = raised_by(lambda: resolve(f"#\n{name}={value}\n"))
    assert isinstance(error, ConfigError)
    (finding,) = error.findings
    assert (finding.subject, finding.file, finding.line) == (name, ".env", 2)
    return finding


@pytest.mark.parametrize(
    ("sources", "value", "origin"),
    [
        ("flag environment .env", 1, Origin.FLAG),
        ("environment .env", 2, Origin.ENVIRONMENT),
        (".env", 3, Origin.DOTENV),
        ("", 8000, Origin.DEFAULT),
    ],
)
def test_the_strongest_source_wins(sources: str, value: int, origin: Origin) -> None:
    name = "API_GATEWAY_PORT"
    resolved = resolve_settings(
        parse_dotenv(f"{name}=3" if ".env" in sources else ""),
        {name: "2"} if "environment" in sources else {},
        {name: "1"} if "flag" in sources else {},
    )
    assert (resolved.values.api_gateway_port, resolved.origins[name]) == (value, origin)


def test_an_empty_value_is_not_set() -> None:
    resolved = resolve("API_GATEWAY_PORT=9000\n", {"API_GATEWAY_PORT": ""}, API_GATEWAY_PORT="")
    assert (resolved.values.api_gateway_port, resolved.origins["API_GATEWAY_PORT"]) == (9000, Origin.DOTENV)


def test_every_default_is_a_value_that_the_setting_takes() -> None:
    """What `.env.example` shows in a comment can be uncommented."""
    text = "".join(f"{item.name.upper()}={item.default}\n" for item in list_settings())
    assert resolve(text).values == Settings()


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("API_GATEWAY_PORT", "http", "is 'http'; expected a whole number from 1 to 65535 (port)"),
        ("API_GATEWAY_PORT", "65536", "is 65536; expected a whole number from 1 to 65535"),
        ("API_GATEWAY_PORT", "0", "is 0; expected"),
        ("INFERENCE_PORT", "8001.5", "is '8001.5'; expected a whole number"),
        ("INFERENCE_SLOTS", "٤", "expected a whole number from 1 to 256 (slots)"),
        ("GATEWAY_LOG_PROMPTS", "maybe", "expected true or false"),
        ("STACK_RUNTIME", "proces", "did you mean 'process'?"),
        ("INFERENCE_ENGINE", "vllm", "expected one of auto, llama.cpp, xllamacpp, llama-cpp-python"),
        ("INFERENCE_MEMORY_LIMIT", "24GB", "expected auto, 0 or a size such as 24g"),
        ("STACK_NAME", "Team A", "expected lower-case letters"),
        ("CONTAINER_USER", "root", "expected UID:GID"),
        ("CONTAINER_USER", "0:0", "expected UID:GID"),
        ("GPU_DEVICES", "0,,1", "expected 'all' or a list such as 0,1"),
    ],
)
def test_a_wrong_value_is_named_with_what_is_expected(name: str, value: str, words: str) -> None:
    assert words in find_problem(name, f"'{value}'").message


def test_an_unknown_key_names_the_nearest_one() -> None:
    finding = find_problem("CHAT_MODLE", "x.gguf")
    assert finding.message == "is not a setting of this stack"
    assert finding.hint == "did you mean 'CHAT_MODEL'?"
    assert "stack.yml" in find_problem("COMPANY_TOKEN", "x").hint


def test_all_problems_come_in_one_run_in_the_files_order() -> None:
    error = raised_by(lambda: resolve("API_GATEWAY_PORT=x\nNONSENSE=1\nINFERENCE_SLOTS=0\n"))
    assert [(finding.line, finding.subject) for finding in error.findings] == [
        (1, "API_GATEWAY_PORT"),
        (2, "NONSENSE"),
        (3, "INFERENCE_SLOTS"),
    ]


@pytest.mark.parametrize(("source", "place"), [("flag", "(flag)"), ("environment", "(environment)")])
def test_a_problem_outside_the_file_says_where_it_is(source: str, place: str) -> None:
    wrong = {"INFERENCE_SLOTS": "0"}
    flags, environment = (wrong, {}) if source == "flag" else ({}, wrong)
    error = raised_by(lambda: resolve_settings(parse_dotenv("INFERENCE_SLOTS=4\n"), environment, flags))
    assert [finding.render_place() for finding in error.findings] == [place]


def test_a_variable_that_stack_yml_names_is_allowed_and_handed_on() -> None:
    file = parse_dotenv("OPENAI_API_KEY=planted\n")
    resolved = resolve_settings(file, {}, {}, frozenset({"OPENAI_API_KEY", "UNSET"}))
    assert resolved.variables == {"OPENAI_API_KEY": "planted"}
    assert "planted" not in repr(resolved)


@pytest.mark.parametrize("value", ["planted key", "planted\nkey", "planted-한글"])
def test_a_key_that_no_header_carries_is_refused_and_not_shown(value: str) -> None:
    finding = find_problem("GATEWAY_KEY", f"'{value}'")
    assert f"a secret of {len(value)} characters" in finding.message
    assert "planted" not in finding.render_text() + finding.hint


def test_each_missing_key_is_named() -> None:
    error = raised_by(lambda: check_secrets(Settings(gateway_key="planted"), ".env"))
    assert [finding.subject for finding in error.findings] == ["GATEWAY_ADMIN_KEY", "INFERENCE_API_KEY"]
    check_secrets(resolve("".join(f"{name}={value}\n" for name, value in KEYS.items())).values, ".env")


def test_no_secret_is_in_a_representation_or_a_masked_value() -> None:
    settings = resolve("".join(f"{name}={value}\n" for name, value in KEYS.items())).values
    assert "planted" not in repr(settings)
    shown = {item.name: mask_value(item, getattr(settings, item.name)) for item in list_settings()}
    assert shown["gateway_key"] == f"(secret, {len(KEYS['GATEWAY_KEY'])} characters)"
    assert "planted" not in "".join(shown.values())


def test_the_password_of_an_index_mirror_is_masked() -> None:
    (item,) = (item for item in list_settings() if item.name == "pip_index_url")
    shown = mask_value(item, "https://user:planted@mirror.example.com/simple")
    assert "planted" not in shown
    assert "mirror.example.com/simple" in shown


def test_every_setting_says_what_it_is_for() -> None:
    for item in list_settings():
        assert re.fullmatch(r"[A-Z].*\.", item.metadata["help"]), item.name
    assert {"CHAT_MODEL", "CODE_MODEL", "EMBEDDING_MODEL", "INFERENCE_PORT", "API_GATEWAY_PORT"} <= set(setting_names())


@pytest.mark.parametrize("name", ["GATEWAY_KEY", "GATEWAY_ADMIN_KEY", "INFERENCE_API_KEY"])
def test_a_key_of_ours_that_can_be_guessed_is_refused_unseen(name: str) -> None:
    finding = find_problem(name, "planted-secret")
    assert finding.message == "is a secret of 14 characters, which can be guessed; expected at least 16"
    assert finding.hint == f"empty {name} and run 'stackctl init' to generate one"
    assert resolve(f"{name}={'k' * 16}").origins[name] is Origin.DOTENV


@pytest.mark.parametrize(
    ("name", "text", "shown"),
    [
        ("MODELS_DIR", "/srv/모델/\udcbe", r"is '/srv/모델/\udcbe', which is not UTF-8"),
        ("GATEWAY_KEY", "planted-secret-key-\udcff", "is a secret of 20 characters, which is not UTF-8"),
        ("PIP_INDEX_URL", "https://me:planted@host/\udcff", "is a text of 25 characters, which is not UTF-8"),
        ("INFERENCE_ENVIRONMENT", "A_KEY=planted-\udcff", "is a text of 15 characters, which is not UTF-8"),
        ("HF_ENDPOINT", "https://me:planted@pw@host", "is 'https://(hidden)@host'; expected an address such as"),
        ("HF_ENDPOINT", "https://me:planted@host", "is 'https://(hidden)@host'; expected an address such as"),
    ],
)
def test_a_value_that_is_no_text_or_holds_a_password_is_refused_and_the_secret_in_it_not_shown(
    name: str, text: str, shown: str
) -> None:
    error = raised_by(lambda: resolve("", {name: text}))
    assert error.findings[0].message.startswith(shown)
    assert "planted" not in str(error)
