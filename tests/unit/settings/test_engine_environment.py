"""Variables that an operator gives the engines: how they are written, and what they may not say."""

from __future__ import annotations

import json
from contextlib import suppress

import jsonschema
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from stackctl.core.settings.engine_environment import (
    check_environment,
    list_references,
    list_values,
    parse_environment,
)
from stackctl.core.settings.stackfile_reader import build_schema
from stackctl.errors import ConfigError
from stackctl.operations.site.load import load_site
from tests.fakes import World, raised_by, write_env

SECRETS = frozenset({"GATEWAY_KEY", "INFERENCE_API_KEY"})


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", {}),
        ("NVIDIA_DISABLE_REQUIRE=1", {"NVIDIA_DISABLE_REQUIRE": "1"}),
        ("A=1  B='two words' C=", {"A": "1", "B": "two words", "C": ""}),
        ("A=1 A=2", {"A": "2"}),
        ("A=b=c", {"A": "b=c"}),
    ],
)
def test_it_is_written_as_a_shell_writes_it(text: str, expected: dict[str, str]) -> None:
    assert parse_environment(text) == expected


@pytest.mark.parametrize(
    ("text", "words"), [("A='1", "close the quote"), ("A=1 B", "'B', which is no NAME=value"), ("1A=1", "'1A'")]
)
def test_what_is_no_assignment_is_named(text: str, words: str) -> None:
    error = raised_by(lambda: parse_environment(text))
    assert isinstance(error, ConfigError)
    assert words in str(error.findings) + error.hint


@given(st.text(max_size=60))
def test_any_text_is_read_or_refused(text: str) -> None:
    with suppress(ConfigError):
        parse_environment(text)


@pytest.mark.parametrize(
    ("environment", "words"),
    [
        ({"LLAMA_API_KEY": "x"}, "INFERENCE_API_KEY decides"),
        ({"LLAMA_ARG_API_KEY_FILE": "/etc/key"}, "INFERENCE_API_KEY decides"),
        ({"CUDA_VISIBLE_DEVICES": "1"}, "GPU_DEVICES decides"),
        ({"NVIDIA_VISIBLE_DEVICES": "all"}, "GPU_DEVICES decides"),
        ({"LLAMA_ARG_CACHE_RAM": "8192"}, "PROMPT_CACHE decides"),
        ({"LLAMA_ARG_HOST": "0.0.0.0"}, "which the stack needs as it is"),
        ({"LLAMA_ARG_CORS_ORIGINS": "*"}, "which the stack needs as it is"),
        ({"HF_TOKEN": "hf_planted"}, "looks like a secret, HF_TOKEN"),
        ({"my_password": "planted"}, "looks like a secret, my_password"),
        ({"MINE": "${GATEWAY_KEY}"}, "gives GATEWAY_KEY, a secret of the stack itself"),
        ({"A": "1\n2"}, "more than one line"),
    ],
)
def test_no_fact_is_taken_from_its_home_and_no_secret_is_written_down(environment: dict[str, str], words: str) -> None:
    (finding,) = check_environment("models.m.environment", environment, SECRETS)
    assert words in finding.message
    assert finding.hint
    assert "planted" not in finding.message + finding.hint


def test_the_hint_about_a_secret_leads_to_what_is_taken() -> None:
    error = raised_by(lambda: load_site(load(INFERENCE_ENVIRONMENT="HF_TOKEN=planted").effects))
    assert isinstance(error, ConfigError)
    assert "'HF_TOKEN: ${ENGINE_HF_TOKEN}' under environment: of a model in stack.yml" in error.findings[0].hint
    stack = "models:\n  m:\n    file: m.gguf\n    environment:\n      HF_TOKEN: ${ENGINE_HF_TOKEN}\n"
    assert load_site(load("ENGINE_HF_TOKEN=planted-mine\n", stack).effects).compose.find_model("m") is not None


def test_ordinary_variables_and_references_are_taken() -> None:
    environment = {"NVIDIA_DISABLE_REQUIRE": "1", "LLAMA_ARG_LOG_VERBOSITY": "5", "HF_TOKEN": "${MY_TOKEN}", "A": "$x"}
    assert check_environment("m", environment, SECRETS) == []
    assert list_references(environment) == {"HF_TOKEN": "MY_TOKEN"}
    assert list_values(environment) == {"NVIDIA_DISABLE_REQUIRE": "1", "LLAMA_ARG_LOG_VERBOSITY": "5", "A": "$x"}


def load(env: str = "", stack: str = "", **settings: object) -> World:
    return World(write_env(**settings) + env, stack)


STACK = "models:\n  m:\n    file: m.gguf\n    environment:\n      FLAG: 1\n      HALF: 0.5\n      TOKEN: ${MY_TOKEN}\n"


def test_a_models_own_variables_reach_its_engine_alone_and_in_both_runtimes() -> None:
    world = load("MY_TOKEN=planted-mine\n", STACK, INFERENCE_ENVIRONMENT="FLAG=0")
    loaded = load_site(world.effects)
    for stack in (loaded.process, loaded.compose):
        environments = {model.served_name: model.environment for model in stack.models}
        assert environments["m"] == {"FLAG": "1", "HALF": "0.5", "TOKEN": "${MY_TOKEN}"}
        assert environments["local-chat"] == {"FLAG": "0"}
        assert stack.variables == (), "the gateway is not given it"
    assert loaded.resolved.variables == {"MY_TOKEN": "planted-mine"}


@pytest.mark.parametrize(
    "text", ["1.10", "010", "1:30", "true", "no", "0x10", "1_000", "2026-01-01", ".5", "1e3", "'quoted'", "two words"]
)
def test_a_value_is_the_text_that_stands_in_the_file(text: str) -> None:
    stack = (
        f"models:\n  m: {{file: m.gguf, environment: &e {{A: {text}}}}}\n  n: {{file: m.gguf, environment: *e}}\n"
        "  environment: {file: m.gguf, prompt_cache: 0, arguments: [--temp, 0.10, --flag, on]}\n"
    )
    models = {model.served_name: model for model in load_site(load("", stack).effects).process.models}
    assert models["m"].environment == models["n"].environment == {"A": text.strip("'")}
    assert models["environment"].arguments == ("--temp", "0.10", "--flag", "on")
    assert models["environment"].prompt_cache_mib == 0
    schema = jsonschema.Draft202012Validator(build_schema())
    assert schema.is_valid(json.loads(json.dumps(yaml.safe_load(stack), default=str)))


@pytest.mark.parametrize(
    ("world", "subject", "words"),
    [
        (load("", STACK), "models.m.environment.TOKEN", "names MY_TOKEN, which is not set"),
        (
            load(INFERENCE_ENVIRONMENT="LLAMA_API_KEY=x"),
            "INFERENCE_ENVIRONMENT",
            "sets LLAMA_API_KEY, which INFERENCE_API_KEY decides",
        ),
        (
            load("FOO=planted\n", STACK.replace("${MY_TOKEN}", "${FOO}"), INFERENCE_ENVIRONMENT="'A=${FOO}'"),
            "INFERENCE_ENVIRONMENT",
            "takes A from FOO; only stack.yml can name a variable of .env",
        ),
        (
            load("", STACK.replace("${MY_TOKEN}", "planted-here")),
            "models.m.environment",
            "holds what looks like a secret, TOKEN",
        ),
        (load("", STACK.replace("FLAG: 1", "FLAG: [1]")), "models.m.environment.FLAG", "expected"),
        (load("", STACK.replace("FLAG: 1", "FLAG:")), "models.m.environment.FLAG", "expected"),
        (load("", STACK.replace("FLAG: 1", "1FLAG: 1")), "models.m.environment", ""),
    ],
)
def test_a_wrong_environment_is_refused_at_its_place(world: World, subject: str, words: str) -> None:
    error = raised_by(lambda: load_site(world.effects))
    assert isinstance(error, ConfigError)
    (finding,) = (item for item in error.findings if item.subject.startswith(subject))
    assert (words in finding.message, finding.line > 0) == (True, True)
    assert "planted" not in str(error.findings)
