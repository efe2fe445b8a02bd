"""Which models are served: names, files, ports, services and the one context figure."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stackctl.core.models.requests import build_requests
from stackctl.core.models.served import build_served_models, choose_context
from stackctl.core.settings.settings import Settings
from stackctl.core.settings.stackfile import LocalModel, StackFile
from stackctl.errors import ConfigError
from stackctl.operations.site.load import load_site
from tests.fakes import World, raised_by, write_env
from tests.gguf_files import build_header


def list_served(env: dict[str, object], stack: str = "") -> dict[str, tuple[str, str, int]]:
    """Served name to service, file and port."""
    models = load_site(World(write_env(**env), stack).effects).compose.models
    return {model.served_name: (model.service, model.path, model.port) for model in models}


def test_a_new_machine_serves_the_demo_model_for_chat_and_embeddings() -> None:
    demo = "/opt/stackctl/models/demo.gguf"
    assert list_served({}) == {
        "local-chat": ("inference-chat", demo, 8001),
        "local-embed": ("inference-embed", demo, 8003),
    }


def test_ports_stay_where_they_are_when_another_model_comes() -> None:
    assert list_served({"CODE_MODEL": "c.gguf", "INFERENCE_PORT": 9001}) | {} == {
        "local-chat": ("inference-chat", "/opt/stackctl/models/demo.gguf", 9001),
        "local-code": ("inference-code", "/site/models/c.gguf", 9002),
        "local-embed": ("inference-embed", "/opt/stackctl/models/demo.gguf", 9003),
    }


@pytest.mark.parametrize(
    ("folder", "path"),
    [("weights", "/site/weights/m.gguf"), ("/srv/models", "/srv/models/m.gguf"), ("", "/site/models/m.gguf")],
)
def test_a_model_is_looked_for_in_its_folder(folder: str, path: str) -> None:
    assert list_served({"CHAT_MODEL": "m.gguf", "MODELS_DIR": folder})["local-chat"][1] == path


def test_none_serves_none() -> None:
    assert list(list_served({"EMBEDDING_MODEL": "none"})) == ["local-chat"]


def test_stack_yml_adds_models_and_replaces_the_demo() -> None:
    stack = "models: {team/big: {file: b.gguf}, local-chat: {file: own.gguf}}"
    assert list_served({}, stack) == {
        "local-embed": ("inference-embed", "/opt/stackctl/models/demo.gguf", 8003),
        "team/big": ("inference-team-big", "/site/models/b.gguf", 8004),
        "local-chat": ("inference-chat", "/site/models/own.gguf", 8005),
    }


def test_a_name_served_twice_is_refused() -> None:
    stackfile = StackFile(models={"local-code": LocalModel(file="a.gguf")})
    error = raised_by(lambda: build_requests(Settings(code_model="b.gguf"), stackfile, "/site", "/demo"))
    assert isinstance(error, ConfigError)
    assert error.findings[0].subject == "CODE_MODEL"


@pytest.mark.parametrize(
    ("setting", "own", "layers"), [(-1, None, None), (20, None, 20), (20, -1, None), (-1, 0, 0), (-1, 7, 7)]
)
def test_a_models_own_layers_come_before_the_sites(setting: int, own: int | None, layers: int | None) -> None:
    model = LocalModel(file="m.gguf", gpu_layers=own)
    requests = build_requests(Settings(gpu_layers=setting), StackFile(models={"m": model}), "/site", "/demo")
    assert requests[-1].gpu_layers == layers


def test_without_a_gpu_no_layer_is_offloaded() -> None:
    requests = build_requests(Settings(stack_gpu="none", gpu_layers=20), StackFile(), "/site", "/demo")
    assert {request.gpu_layers for request in requests} == {0}


@pytest.mark.parametrize(
    ("wanted", "trained", "context"),
    [
        (0, 131_072, 8192),
        (0, 2048, 2048),
        (0, 0, 8192),
        (4096, 131_072, 4096),
        (1000, 131_072, 1024),
        (9999, 4096, 4096),
    ],
)
def test_the_context_is_the_one_that_the_engine_will_report(wanted: int, trained: int, context: int) -> None:
    assert choose_context(wanted, build_header(context_length=trained)) == context


def test_an_engine_with_one_slot_is_told_so() -> None:
    site = load_site(World(write_env(INFERENCE_ENGINE="llama-cpp-python", INFERENCE_SLOTS=8)).effects)
    assert {model.slots for model in site.process.models} == {1}


served_names = st.from_regex(r"[A-Za-z0-9][A-Za-z0-9._:/-]{0,127}", fullmatch=True)


@given(st.lists(served_names, unique=True, max_size=5))
def test_services_have_unique_names_that_dns_takes(names: list[str]) -> None:
    stackfile = StackFile(models={name: LocalModel(file="m.gguf") for name in names})
    settings = Settings(embedding_model="none")
    requests = tuple(item for item in build_requests(settings, stackfile, "/site", "/demo") if not item.is_demo)
    paths = [request.path for request in requests]
    models = build_served_models(
        settings, requests, {p: build_header() for p in paths}, {p: (p,) for p in paths}, dict.fromkeys(paths, 1), None
    )
    services = [model.service for model in models]
    assert len(set(services)) == len(names)
    assert len({model.url_variable for model in models}) == len(names)
    assert all(re.fullmatch(r"inference-[a-z0-9]([a-z0-9-]{0,51}[a-z0-9])?", service) for service in services)
