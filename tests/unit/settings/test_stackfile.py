"""`stack.yml`: what it may say, every mistake at its line, and the schema that editors read."""

from __future__ import annotations

import copy
from contextlib import suppress
from typing import Any

import jsonschema
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from stackctl.core.gateway.providers import list_endpoints
from stackctl.core.settings.stackfile import StackFile
from stackctl.core.settings.stackfile_reader import build_schema, parse_stackfile
from stackctl.errors import ConfigError
from tests.fakes import CHECKOUT, raised_by

FULL = """\
version: 1
models:
  local-review: {file: r.gguf, mode: chat, context_length: 8192, slots: 2, gpu_layers: -1, arguments: ["--temp", "0"]}
providers:
  openai:
    kind: openai
    api_key: OPENAI_API_KEY
    headers: {X-Tenant: TENANT}
    models:
      gpt: {model: gpt-4o, mode: chat, context_length: 128000}
  ollama:
    kind: ollama
    api_base: http://localhost:11434
    models: {llama: {model: "llama3:8b"}}
routes:
  local-review: {fallbacks: [gpt]}
limits:
  retries: 1
  models:
    gpt: {requests_per_minute: 60, tokens_per_minute: 1000, parallel_requests: 2}
"""


def find_problems(text: str) -> list[tuple[int, str, str, str]]:
    """Line, subject, message and hint of everything that is wrong with a text."""
    error = raised_by(lambda: parse_stackfile(text))
    assert isinstance(error, ConfigError)
    assert error.exit_code == 3
    return [(item.line, item.subject, item.message, item.hint) for item in error.findings]


def test_a_full_file_is_read() -> None:
    parsed = parse_stackfile(FULL)
    assert parsed.models["local-review"].arguments == ("--temp", "0")
    assert parsed.providers["openai"].models["gpt"].context_length == 128_000
    assert parsed.list_variables() == {"OPENAI_API_KEY", "TENANT"}


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
    "key", ["api_key: planted-key", "headers: {Authorization: planted-key}", "headers: planted-key"]
)
def test_a_secret_written_here_by_mistake_is_not_repeated(key: str) -> None:
    text = f"providers:\n  p:\n    kind: openai\n    {key}\n    models: {{g: {{model: m}}}}\n"
    problems = find_problems(text)
    assert problems[0][0] == 4
    assert ".env" in problems[0][2]
    assert "planted" not in str(problems)


def test_the_schema_takes_what_the_parser_takes() -> None:
    validator = jsonschema.Draft202012Validator(build_schema())
    validator.check_schema(build_schema())
    for text in (FULL, (CHECKOUT / "stack.yml").read_text()):
        validator.validate(yaml.safe_load(text))


@pytest.mark.parametrize(
    "path", [("models", "local-review"), ("providers", "openai"), ("routes", "local-review"), ("limits",), ()]
)
def test_the_schema_refuses_an_unknown_key_everywhere(path: tuple[str, ...]) -> None:
    document: dict[str, Any] = copy.deepcopy(yaml.safe_load(FULL))
    section = document
    for key in path:
        section = section[key]
    section["nonsense"] = 1
    assert not jsonschema.Draft202012Validator(build_schema()).is_valid(document)
    assert find_problems(yaml.safe_dump(document))


def test_the_schema_explains_every_key() -> None:
    schema = build_schema()
    for section in (schema, *schema["$defs"].values()):
        for name, item in section.get("properties", {}).items():
            assert item.get("description"), name


scalars = st.none() | st.booleans() | st.integers(-5, 5) | st.text(max_size=5) | st.floats()
keys = st.sampled_from(["version", "models", "providers", "routes", "limits", "file", "kind", "m"])


@given(st.recursive(scalars, lambda item: st.lists(item, max_size=3) | st.dictionaries(keys, item, max_size=4)))
def test_any_document_is_read_or_refused(value: object) -> None:
    with suppress(ConfigError):
        parse_stackfile(yaml.safe_dump(value))


@pytest.mark.parametrize(
    ("text", "message", "hint"),
    [
        (
            "providers: {p: {kind: opeani, api_base: 'http://a/v1', models: {g: {model: m}}}}",
            "is 'opeani'; expected one of openai, anthropic, lm_studio, ollama, vllm, openai-compatible",
            "did you mean 'openai'?",
        ),
        (
            "models: {m: {file: a, mode: embed}}",
            "is 'embed'; expected one of chat, embedding, rerank",
            "did you mean 'embedding'?",
        ),
        ("models: {m: {file: a, ctx: 8192}}", "is not a key of this section", "did you mean 'context_length'?"),
        ("models: {m: {file: a, ngl: 8}}", "is not a key of this section", "did you mean 'gpu_layers'?"),
        ("limits: {models: {m: {rpm: 8}}}", "is not a key of this section", "did you mean 'requests_per_minute'?"),
        ("models: {a b: {file: a}}", "is 'a b'; expected a name of letters, digits", "correct models.a b"),
        ("models: {m: {file: a, slots: '2'}}", "is '2'; expected a whole number", "write 2 without quotes"),
        ("models: {m: {file: 5}}", "is 5; expected a text", "write '5' in quotes"),
        ("models: {m: {file: ''}}", "is empty; expected a text", "correct models.m.file"),
        ("models: {m: {}}", "is missing", "add 'file:' with its value"),
        ("models: {m: }", "is empty; expected keys and values", "correct models.m"),
        ("models: {m: {file: a, slots: 999}}", "is 999; expected at most 256", "correct models.m.slots"),
        ("limits: {retries: -1}", "is -1; expected at least 0", "correct limits.retries"),
        ("routes: {r: {fallbacks: a}}", "is 'a'; expected a list, such as [a, b]", "correct routes.r.fallbacks"),
        ("routes: {r: {fallbacks: []}}", "is empty; expected at least one entry", "correct routes.r.fallbacks"),
        ("models: {m: {file: 1.10}}", "is 1.1; expected a text", "write '1.10' in quotes"),
        ("models: {environment: {file: 5}}", "is 5; expected a text", "write '5' in quotes"),
        ("models: {m: {file: a, prompt_cache: 5}}", "is '5'; expected auto, 0 or a size such as 2g", "correct"),
        ("providers: {headers: {kind: vlm, models: {g: {model: m}}}}", "is 'vlm'; expected one of", "'vllm'?"),
        ("version: 2", "is 2; expected 1", "correct version"),
        ("version: '1'", "is '1'; expected 1", "write 1 without quotes"),
        ("models: [a]", "is a list; expected keys and values", "correct models"),
        ("models: {a: &x {file: *x}}", "an alias (&, *) contains itself", "without aliases"),
        ("models:\n\tm: {file: a}", "is indented with a tab; YAML takes spaces", "replace it"),
        ("a:\tb: c", "is not valid YAML: mapping values are not allowed", "correct this line"),
        ("models: {m: {file: a", "is not valid YAML: did not find expected ',' or '}' (column", "correct this line"),
        ("models: {m: {file: 'a\x00'}}", "holds the character U+0000, which YAML does not take", "remove it"),
    ],
)
def test_a_mistake_is_told_in_words_of_the_file(text: str, message: str, hint: str) -> None:
    problems = [(item[2], item[3]) for item in find_problems(text)]
    assert [problem for problem in problems if message in problem[0] and hint in problem[1]], problems


@pytest.mark.parametrize(
    ("provider", "message", "hint"),
    [
        ("kind: vllm", "api_base is needed for a provider of kind vllm", "add 'api_base: http://host:port/v1'"),
        (
            "kind: vllm, api_base: localhost:1",
            "is 'localhost:1'; expected an address with its scheme",
            "correct providers.p.api_base",
        ),
        ("kind: vllm, api_base: 'http://a/v1/v1/'", "ends with /v1 twice", "write http://a/v1"),
        ("kind: vllm, api_base: 'http://a/v1/chat/completions'", "'/chat/completions'", "write http://a/v1"),
        ("kind: ollama, api_base: 'http://a:11434/v1'", "ends with /v1, which Ollama", "write http://a:11434"),
        ("kind: vllm, api_base: 'http://a:1/v1/chat/completions?x=1'", "'/chat/completions'", "write http://a:1/v1"),
        ("kind: vllm, api_base: 'http://u:pw@a/v1/models'", "'/models'", "write http://(hidden)@a/v1"),
        ("kind: ollama, api_base: 'http://a:1/v1/chat/completions'", "'/chat/completions'", "write http://a:1"),
        ("kind: anthropic, api_base: 'https://a/v1'", "is not what '/v1/messages' can follow", "write https://a"),
        ("kind: anthropic, api_base: 'https://a/x/v1/v1/'", "is not what '/v1/messages' can", "write https://a/x"),
        ("kind: anthropic, api_base: 'https://a/messages'", "is not what '/v1/messages' can follow", "write https://a"),
        ("kind: vllm, api_base: 'http://a:99999999/v1'", "no host or port", "write it as http://host:port/v1"),
        ("kind: vllm, api_base: 'http://[::1/v1'", "no host or port", "write it as http://host:port/v1"),
        ("kind: vllm, api_base: 'http:///v1'", "no host or port", "write it as http://host:port/v1"),
        (
            "kind: openai",
            "api_key is missing: openai answers nobody without a key",
            "add 'api_key: OPENAI_API_KEY' here, and OPENAI_API_KEY=... to .env",
        ),
        (
            "kind: anthropic",
            "api_key is missing",
            "add 'api_key: ANTHROPIC_API_KEY' here, and ANTHROPIC_API_KEY=... to .env",
        ),
        (
            "kind: openai, api_key: K, headers: {X Y: T}",
            "is 'X Y'; expected the name of a request header",
            "correct providers.p.headers.X Y",
        ),
    ],
)
def test_a_provider_that_cannot_work_is_refused(provider: str, message: str, hint: str) -> None:
    problems = find_problems(f"providers:\n  p: {{{provider}, models: {{g: {{model: m}}}}}}")
    assert [problem for problem in problems if (message in problem[2], problem[3], problem[0]) == (True, hint, 2)], (
        problems
    )


@pytest.mark.parametrize("address", ["https://a", "https://a/", "https://a/proxy", "https://a/v1/messages"])
def test_an_address_that_anthropics_format_takes(address: str) -> None:
    text = f"providers: {{p: {{kind: anthropic, api_base: '{address}', models: {{g: {{model: m}}}}}}}}"
    (endpoint,) = list_endpoints(parse_stackfile(text))
    assert endpoint.url == address.rstrip("/")


def test_a_password_in_an_address_is_not_repeated() -> None:
    text = "providers: {p: {kind: vllm, api_base: 'http//u:planted@h', models: {g: {model: m}}}}"
    assert "planted" not in str(find_problems(text.replace("http//", "ftp://")))


# What pydantic and Python's regular expressions would say.
RAW = ("Input should", "String should", "pattern '", "Value error", "after validation", "valid integer", "[key]", "\\s")


@given(
    st.recursive(
        scalars,
        lambda item: (
            st.lists(item, max_size=3)
            | st.dictionaries(
                st.sampled_from(
                    [
                        "version",
                        "models",
                        "providers",
                        "routes",
                        "limits",
                        "file",
                        "kind",
                        "m",
                        "api_base",
                        "headers",
                        "fallbacks",
                        "slots",
                        "mode",
                        "model",
                        "retries",
                        "arguments",
                    ]
                ),
                item,
                max_size=5,
            )
        ),
    )
)
def test_nobody_reads_a_librarys_own_words(value: object) -> None:
    try:
        parse_stackfile(yaml.safe_dump(value))
    except ConfigError as error:
        told = [f"{finding.message} {finding.hint}" for finding in error.findings]
        assert not [text for text in told for raw in RAW if raw in text]
