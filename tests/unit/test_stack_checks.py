"""What must hold between settings, models and `stack.yml`."""

from __future__ import annotations

from dataclasses import replace

import pytest

from stackctl.core.engines import ENGINES
from stackctl.core.settings import Settings
from stackctl.core.stack_checks import check_bind_address, check_engine, check_ports
from stackctl.operations.site import load_site
from tests.fakes import World, raised_by, write_env


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
