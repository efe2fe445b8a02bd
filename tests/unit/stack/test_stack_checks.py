"""What must hold between settings, models and `stack.yml`."""

from __future__ import annotations

from dataclasses import replace

import pytest

from stackctl.core.engine.engines import ENGINES
from stackctl.core.settings.settings import Settings
from stackctl.core.stack.checks import check_bind_address, check_engine, check_ports
from stackctl.operations.site.load import load_site
from stackctl.operations.site.placement import check_places
from stackctl.operations.site.render import collect_secrets
from tests.fakes import World, raised_by, write_env


@pytest.mark.parametrize(
    ("address", "is_refused"),
    [
        ("http://localhost:8000/v1", True),
        ("http://[::1]:8000/v1", True),
        ("http://192.0.2.9:8000/v1", True),
        ("http://192.0.2.7:8000/v1", False),
        ("http://localhost:8001/v1", False),
        ("https://localhost/v1", False),
    ],
)
def test_no_provider_is_this_stack_s_own_gateway(address: str, is_refused: bool) -> None:
    """A client's .env, copied here, has the gateway's own address."""
    names = f"MYCODER_OPENAI_BASE_URL={address}\nMYCODER_CHAT_MODEL=m\n"
    world = World(write_env(BIND_ADDRESS="192.0.2.9", STACK_RUNTIME="compose") + names)
    if not is_refused:
        load_site(world.effects)
        return
    (finding,) = raised_by(lambda: load_site(world.effects)).findings
    assert (finding.subject, finding.file, finding.line) == ("MYCODER_OPENAI_BASE_URL", ".env", 6)
    assert "this stack's own gateway, on port 8000" in finding.message


@pytest.mark.parametrize(
    ("address", "runtime", "is_refused"),
    [
        ("http://localhost:8001/v1", "process", True),
        ("http://localhost:8001/v1", "compose", False),
        ("http://localhost:8002/v1", "process", False),
        ("http://192.0.2.7:8001/v1", "process", False),
    ],
)
def test_no_provider_is_where_an_engine_of_ours_listens(address: str, runtime: str, is_refused: bool) -> None:
    """Where vLLM usually is, this stack's first engine is, too."""
    loaded = load_site(World(write_env(VLLM_BASE_URL=address)).effects)
    found = [finding.subject for finding in check_places(loaded, runtime)]
    assert found == (["VLLM_BASE_URL"] if is_refused else [])


@pytest.mark.parametrize(
    ("gateway", "inference", "words"),
    [
        (8000, 8001, ""),
        (8002, 8001, ""),
        (8001, 8001, "API_GATEWAY_PORT: 8001 is also the port of local-chat"),
        (8003, 8001, "8003 is also the port of local-embed (INFERENCE_PORT + 2)"),
        (8000, 65_000, ""),
        (8000, 65_534, "local-embed on port 65536; the last port is 65535"),
    ],
)
def test_every_service_has_a_port_of_its_own(gateway: int, inference: int, words: str) -> None:
    models = load_site(World().effects).process.models
    settings = Settings(api_gateway_port=gateway, inference_port=inference)
    moved = tuple(replace(model, port=inference + offset) for model, offset in zip(models, (0, 2), strict=True))
    text = "".join(finding.render_text() for finding in check_ports(settings, moved))
    assert words in text
    assert bool(text) is bool(words)


def test_an_engine_is_not_asked_for_what_it_does_not_do() -> None:
    models = load_site(World(stack="models: {r: {file: r.gguf, mode: rerank}}").effects).compose.models
    (finding,) = check_engine(ENGINES["llama-cpp-python"], models)
    assert (finding.subject, "rerank" in finding.message) == ("models.r.file", True)
    assert check_engine(ENGINES["llama.cpp"], models) == []


@pytest.mark.parametrize(
    ("address", "runtime", "is_refused"),
    [
        ("127.0.0.1", "process", False),
        ("::1", "process", False),
        ("127.0.0.2", "process", False),
        ("0.0.0.0", "process", True),
        ("192.0.2.7", "process", True),
        ("0.0.0.0", "compose", False),
    ],
)
def test_a_process_is_bound_to_loopback(address: str, runtime: str, is_refused: bool) -> None:
    assert bool(check_bind_address(Settings(bind_address=address), runtime)) is is_refused


@pytest.mark.parametrize(
    ("stack", "hint"),
    [
        ("routes: {local-chta: {fallbacks: [local-embed]}}", "did you mean 'local-chat'?"),
        ("routes: {local-chat: {fallbacks: [lokal-embed]}}", "did you mean 'local-embed'?"),
        ("limits: {models: {gpt: {requests_per_minute: 1}}}", "served are: local-chat, local-embed"),
    ],
)
def test_a_route_or_limit_for_no_model_names_the_nearest(stack: str, hint: str) -> None:
    error = raised_by(lambda: load_site(World(write_env(), stack).effects))
    assert [finding.hint for finding in error.findings] == [hint]


CHAIN = "models: {a: {file: a.gguf}, b: {file: b.gguf}, c: {file: c.gguf}}\nroutes:\n"


@pytest.mark.parametrize(
    ("routes", "words"),
    [
        ("  local-chat: {fallbacks: [local-chat]}", ["'local-chat' falls back to itself"]),
        ("  local-chat: {fallbacks: [local-embed]}", ["is for chat and its fallback 'local-embed' for embedding"]),
        ("  a: {fallbacks: [b]}\n  b: {fallbacks: [a]}", ["in a ring: a -> b -> a"]),
        ("  c: {fallbacks: [a]}\n  a: {fallbacks: [b]}\n  b: {fallbacks: [c]}", ["in a ring: a -> b -> c -> a"]),
        ("  a: {fallbacks: [b, c]}\n  b: {fallbacks: [c]}", []),
    ],
)
def test_fallbacks_lead_to_another_model_of_the_same_kind_and_end(routes: str, words: list[str]) -> None:
    if not words:
        assert load_site(World(write_env(), CHAIN + routes).effects).stackfile.routes
        return
    error = raised_by(lambda: load_site(World(write_env(), CHAIN + routes).effects))
    assert [word in finding.message for word, finding in zip(words, error.findings, strict=True)] == [True]
    assert error.findings[0].file == "stack.yml"
    assert error.findings[0].line


EVERY_FAULT = """\
models:
  a: {file: a.gguf}
  b: {file: b.gguf}
providers:
  cloud: {kind: openai, api_key: CLOUD_KEY, models: {gpt: {model: gpt-x}, a: {model: gpt-y}}}
  company: {kind: internal, api_base: 'http://h/v1', ticket: TICKET, models: {house: {model: h}}}
routes:
  a: {fallbacks: [b]}
  b: {fallbacks: [a]}
  gpt: {fallbacks: [gtp]}
  house: {fallbacks: [local-embed]}
  local-chat: {fallbacks: [house], local_only: true, defaults: {temperature: 3, max_tokens: 9000000}}
  local-embed: {fallbacks: [house, house]}
aliases:
  claude-*: lokal-chat
  gpt: house
"""


def test_everything_that_is_wrong_with_routes_is_told_at_once_with_its_line() -> None:
    error = raised_by(lambda: load_site(World(write_env(), EVERY_FAULT).effects))
    told = {(finding.line, finding.message) for finding in error.findings}
    assert {finding.file for finding in error.findings} == {"stack.yml"}
    assert all(finding.hint for finding in error.findings)
    expected = {
        (5, "names CLOUD_KEY, which is not set"),
        (5, "'a' is already served by models.a.file"),
        (6, "names TICKET, which is not set"),
        (8, "the fallbacks go round in a ring: a -> b -> a"),
        (10, "'gtp' is no served name"),
        (11, "'house' is for chat and its fallback 'local-embed' for embedding"),
        (12, "is local_only, and 'house' of the provider 'company' is not local"),
        (12, "is 3.0; expected 0 to 2"),
        (12, "is 9000000; the context of 'local-chat' is 2048 tokens"),
        (13, "'house' stands twice in it"),
        (15, "'lokal-chat' is no served name"),
        (16, "'gpt' is a served name, which it would hide"),
    }
    assert expected <= told
    assert {line for line, _ in told - expected} <= {11, 12, 13}, "the ring that embeddings close is all that is left"


PROVIDERS = """\
providers:
  cloud: {kind: vllm, api_base: 'http://c/v1', models: {gpt: {model: g, context_length: 500}}}
  room: {kind: vllm, api_base: 'http://r/v1', local: true, models: {studio: {model: s}}}
"""


@pytest.mark.parametrize(
    ("routes", "words"),
    [
        ("{local-chat: {local_only: true}}", ""),
        ("{local-chat: {fallbacks: [studio], local_only: true}}", ""),
        ("{local-chat: {fallbacks: [gpt], local_only: true}}", "'gpt' of the provider 'cloud' is not local"),
        ("{local-chat: {fallbacks: [studio], local_only: true}, studio: {fallbacks: [gpt]}}", "'gpt' of the provider"),
        ("{team: {targets: [studio, local-chat]}}", ""),
        ("{team: {targets: [gpt], local_only: true}}", "'gpt' of the provider 'cloud' is not local"),
        ("{team: {fallbacks: [gpt]}}", "'team' is no served name"),
        ("{team: {targets: [studio], fallbacks: [team]}}", "'team' is no served name"),
        ("{local-chat: {targets: [gpt], fallbacks: [local-chat]}}", ""),
        ("{local-chat: {targets: [local-embed]}}", "'local-chat' is for chat and its fallback 'local-embed' for"),
        ("{local-chat: {defaults: {temperature: 0.2, max_tokens: 1024}}}", ""),
        ("{local-chat: {defaults: {max_tokens: 2049}}}", "is 2049; the context of 'local-chat' is 2048 tokens"),
        ("{local-chat: {fallbacks: [gpt], defaults: {max_tokens: 501}}}", "the context of 'gpt' is 500 tokens"),
        ("{studio: {defaults: {max_tokens: 99999}}}", ""),
        ("{local-chat: {defaults: {max_tokens: 0}}}", "is 0; expected 1 to 16777216"),
        ("{local-chat: {defaults: {top_p: 1.01}}}", "is 1.01; expected 0 to 1"),
        ("{local-chat: {defaults: {temperature: .nan}}}", "is nan; expected 0 to 2"),
        ("{local-chat: {defaults: {presence_penalty: -2.5}}}", "is -2.5; expected -2 to 2"),
        ("{local-embed: {defaults: {temperature: 0.2}}}", "are for chat, which the route is not for"),
    ],
)
def test_a_route_leads_where_it_may(routes: str, words: str) -> None:
    world = World(write_env(), f"{PROVIDERS}routes: {routes}")
    if not words:
        assert load_site(world.effects).stackfile.routes
        return
    (finding,) = raised_by(lambda: load_site(world.effects)).findings
    assert words in finding.message
    assert (finding.file, finding.line) == ("stack.yml", 4)


@pytest.mark.parametrize(("name", "words"), [("inference-chat", "the engine of 'local-chat'"), ("inference", "")])
def test_a_provider_is_not_called_as_an_engine_is(name: str, words: str) -> None:
    stack = f"providers: {{{name}: {{kind: vllm, api_base: 'http://v/v1', models: {{g: {{model: m}}}}}}}}"
    world = World(write_env(), stack)
    if words:
        assert words in raised_by(lambda: load_site(world.effects)).findings[0].message
    else:
        assert load_site(world.effects).process.endpoints


@pytest.mark.parametrize(
    ("kind", "env", "words"),
    [
        ("vllm, api_base: 'http://v/v1'", "P_KEY=\n", ""),
        ("vllm, api_base: 'http://v/v1'", "P_KEY=x\n", ""),
        ("vllm, api_base: 'http://v/v1'", "", "names P_KEY, which is not set"),
        ("openai", "P_KEY=\n", "names P_KEY, which is empty"),
        ("openai", "P_KEY=x\n", ""),
    ],
)
def test_a_providers_key_may_be_empty_where_it_is_ones_own_server(kind: str, env: str, words: str) -> None:
    stack = f"providers: {{p: {{kind: {kind}, api_key: P_KEY, models: {{g: {{model: m}}}}}}}}"
    world = World(write_env() + env, stack)
    if words:
        assert words in raised_by(lambda: load_site(world.effects)).findings[0].message
    else:
        assert collect_secrets(load_site(world.effects))["P_KEY"] in ("x", "none")


def test_a_context_beyond_the_trained_one_is_told_where_it_was_asked_for() -> None:
    world = World(write_env(), "models:\n  a: {file: a.gguf, context_length: 999424}\n")
    (warning,) = load_site(world.effects).warnings
    assert warning.subject == "models.a.context_length"
    assert "a was trained for" in warning.message
    assert "set models.a.context_length to" in warning.hint
