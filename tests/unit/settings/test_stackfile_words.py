"""What a person reads of a mistake in `stack.yml`: words of the file and no library's own."""

from __future__ import annotations

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from stackctl.core.gateway.providers import list_endpoints
from stackctl.core.settings.stackfile_reader import parse_stackfile
from stackctl.errors import ConfigError
from tests.unit.settings.stackfiles import find_problems, scalars


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
        ("cache: {size_mb: 0}", "is 0; expected at least 1", "correct cache.size_mb"),
        ("routes: {a: {cache: {max_age: 0}}}", "is 0; expected at least 1", "correct routes.a.cache.max_age"),
        ("routes: {a: {cache: {max_age: 1h}}}", "is '1h'; expected a number of seconds", "write 3600"),
        ("routes: {a: {cache: {max_age: long}}}", "is 'long'; expected a number of seconds", "correct routes.a.cache"),
        ("routes: {a: {deadline: 2m}}", "is '2m'; expected a number of seconds", "write 120"),
        *(
            (
                f"providers: {{p: {{kind: openai, timeouts: {{{key}: 30s}}}}}}",
                "is '30s'; expected a number of seconds",
                "write 30",
            )
            for key in ("connect", "first_token", "between_tokens", "whole")
        ),
        ("limits: {retries: -1}", "is -1; expected at least 0", "correct limits.retries"),
        (
            "routes: {r: {defaults: {temperature: hot}}}",
            "is 'hot'; expected a number",
            "correct routes.r.defaults.temperature",
        ),
        ("routes: {r: {deadline: 99999}}", "is 99999; expected at most 86400", "correct routes.r.deadline"),
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
            "kind: vllm, api_base: 'http://a/v1', ticket: T",
            "is for kind internal; this one is vllm",
            "write 'headers: {x-dep-ticket: T}', or kind: internal",
        ),
        (
            "kind: internal, api_base: 'http://a/v1', ticket: T, headers: {X-Dep-Ticket: U}",
            "is sent as x-dep-ticket, which headers.X-Dep-Ticket is sent as, too",
            "change header_names.ticket",
        ),
        (
            "kind: internal, api_base: 'http://a/v1', user_id: T, user_type: U, header_names: {user_type: USER-ID}",
            "is sent as USER-ID, which user_id is sent as, too",
            "change header_names.user_type",
        ),
        ("kind: internal", "api_base is needed for a provider of kind internal", "add 'api_base: http://host:port/v1'"),
        (
            "kind: vllm, api_base: 'http://a/v1', local: true, proxied: true",
            "is both local and proxied",
            "remove one of the two",
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
