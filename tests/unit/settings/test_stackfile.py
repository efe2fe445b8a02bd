"""`stack.yml`: what it may say, and every mistake at its line."""

from __future__ import annotations

from contextlib import suppress

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from stackctl.core.settings.stackfile import StackFile
from stackctl.core.settings.stackfile_reader import parse_stackfile
from stackctl.errors import ConfigError
from tests.fakes import CHECKOUT
from tests.unit.settings.stackfiles import FULL, find_problems, scalars


def test_a_full_file_is_read() -> None:
    parsed = parse_stackfile(FULL)
    assert parsed.models["local-review"].arguments == ("--temp", "0")
    assert parsed.providers["openai"].models["gpt"].context_length == 128_000
    assert parsed.list_variables() == {"OPENAI_API_KEY", "TENANT", "COMPANY_KEY", "TICKET", "WHO", "WHO_TYPE"}
    assert parsed.providers["company"].timeouts.connect == 0.5
    assert parsed.routes["local-review"].others == ("house", "gpt")
    assert parsed.aliases == {"claude-*": "local-review"}


@pytest.mark.parametrize("text", ["", "# only a comment\n", "version: 1\n", (CHECKOUT / "stack.yml").read_text()])
def test_everything_is_optional(text: str) -> None:
    assert parse_stackfile(text) == StackFile()


@pytest.mark.parametrize(
    ("text", "line", "subject", "hint"),
    [
        ("modles: {}", 1, "modles", "did you mean 'models'?"),
        ("models:\n  m:\n    fiel: a\n    file: a", 3, "models.m.fiel", "did you mean 'file'?"),
        (
            "providers:\n  p:\n    kind: openai\n    models: {g: {modell: x, model: y}}",
            4,
            "providers.p.models.g.modell",
            "model",
        ),
        (
            "providers:\n  p:\n    kind: openai\n    api_kye: K\n    models: {g: {model: y}}",
            4,
            "providers.p.api_kye",
            "api_key",
        ),
        ("routes:\n  r: {fallback: [a], fallbacks: [b]}", 2, "routes.r.fallback", "fallbacks"),
        (
            "routes:\n  r:\n    defaults: {max_completion_tokens: 1}",
            3,
            "routes.r.defaults.max_completion_tokens",
            "max_tokens",
        ),
        ("providers:\n  p:\n    timeouts: {ttft: 1}", 3, "providers.p.timeouts.ttft", "first_token"),
        ("providers:\n  p:\n    header_names: {tiket: a}", 3, "providers.p.header_names.tiket", "ticket"),
        ("routes:\n  r: {timeout: 3}", 2, "routes.r.timeout", "deadline"),
        ("limits: {retry: 1}", 1, "limits.retry", "retries"),
        (
            "limits:\n  models:\n    m: {rpm: 1, token_per_minute: 2}",
            3,
            "limits.models.m.token_per_minute",
            "tokens_per_minute",
        ),
    ],
)
def test_an_unknown_key_is_at_its_line_and_names_the_nearest(text: str, line: int, subject: str, hint: str) -> None:
    found = {(item[0], item[1]): item for item in find_problems(text)}
    _, _, message, seen = found[(line, subject)]
    assert message == "is not a key of this section"
    assert hint in seen


@pytest.mark.parametrize(
    ("text", "line", "subject"),
    [
        ("version: 2", 1, "version"),
        ("models: [a]", 1, "models"),
        ("models:\n  m: {file: 5}", 2, "models.m.file"),
        ("models:\n  m: {file: a, slots: '2'}", 2, "models.m.slots"),
        ("models:\n  m: {file: a, slots: true}", 2, "models.m.slots"),
        ("models:\n  m: {file: a, slots: 1.5}", 2, "models.m.slots"),
        ("models:\n  m: {file: a, mode: chatt}", 2, "models.m.mode"),
        ("models:\n  m: {}", 2, "models.m.file"),
        ("models:\n\n  'bad name': {file: a}", 3, "models.bad name"),
        ("providers:\n  p: {kind: openai, models: {}}", 2, "providers.p.models"),
        ("providers:\n  p: {kind: openai, api_base: localhost, models: {g: {model: m}}}", 2, "providers.p.api_base"),
        ("providers:\n  p: {kind: vllm, models: {g: {model: m}}}", 2, "providers.p"),
        ("routes:\n  r: {fallbacks: []}", 2, "routes.r.fallbacks"),
        ("routes:\n  r: {targets: []}", 2, "routes.r.targets"),
        ("routes:\n  r: {deadline: 0.5}", 2, "routes.r.deadline"),
        ("routes:\n  r: {retries: 11}", 2, "routes.r.retries"),
        ("routes:\n  r: {local_only: 'yes'}", 2, "routes.r.local_only"),
        ("routes:\n  r:\n    defaults: {max_tokens: 1.5}", 3, "routes.r.defaults.max_tokens"),
        ("aliases:\n  'a b': x", 2, "aliases.a b"),
        ("providers:\n  p:\n    timeouts: {connect: 0}", 3, "providers.p.timeouts.connect"),
        ("providers:\n  p:\n    header_names: {ticket: 'a b'}", 3, "providers.p.header_names.ticket"),
        ("limits:\n  models: {m: {requests_per_minute: 0}}", 2, "limits.models.m.requests_per_minute"),
        ("limits:\n  retries: .nan", 2, "limits.retries"),
        ("- a", 1, "stack.yml"),
    ],
)
def test_a_wrong_value_is_at_its_line(text: str, line: int, subject: str) -> None:
    assert (line, subject) in {(item[0], item[1]) for item in find_problems(text)}


def test_two_models_with_one_name_are_refused_with_both_lines() -> None:
    text = "models:\n  m: {file: a}\n  n: {file: b}\n  m: {file: c}\n"
    assert find_problems(text) == [(4, "models.m", "stands twice, first on line 2", "rename or remove one")]


@pytest.mark.parametrize("name", ["no", "on", "1.10", "~", "2026-01-01", "5"])
def test_a_name_that_yaml_does_not_read_as_text_is_refused(name: str) -> None:
    """Otherwise `1.10` would be served as 1.1 and `no` as false."""
    (problem,) = find_problems(f"models:\n  a: {{file: a}}\n  {name}: {{file: b}}\n")
    assert problem[0] == 3
    assert parse_stackfile(f"models:\n  '{'n' if name == '~' else name}': {{file: b}}\n").models


def test_all_mistakes_come_in_one_run_in_the_files_order() -> None:
    text = "vershun: 1\nmodels:\n  m: {file: 5, slots: x}\nlimits: {retries: 99}\n"
    assert [(line, subject) for line, subject, _, _ in find_problems(text)] == [
        (1, "vershun"),
        (3, "models.m.file"),
        (3, "models.m.slots"),
        (4, "limits.retries"),
    ]


@pytest.mark.parametrize(
    "key",
    [
        "api_key: planted-key",
        "headers: {Authorization: planted-key}",
        "headers: planted-key",
        "ticket: planted-key",
        "user_id: planted-key",
        "user_type: planted-key",
    ],
)
def test_a_secret_written_here_by_mistake_is_not_repeated(key: str) -> None:
    text = f"providers:\n  p:\n    kind: openai\n    {key}\n    models: {{g: {{model: m}}}}\n"
    problems = find_problems(text)
    assert problems[0][0] == 4
    assert ".env" in problems[0][2]
    assert "planted" not in str(problems)


keys = st.sampled_from(["version", "models", "providers", "routes", "limits", "file", "kind", "m"])


@given(st.recursive(scalars, lambda item: st.lists(item, max_size=3) | st.dictionaries(keys, item, max_size=4)))
def test_any_document_is_read_or_refused(value: object) -> None:
    with suppress(ConfigError):
        parse_stackfile(yaml.safe_dump(value))
