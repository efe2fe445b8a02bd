"""Rendering: every value comes back exactly from every format's own reader, and equal input gives equal bytes."""

from __future__ import annotations

from dataclasses import replace

import pytest
import yaml
from hypothesis import example, given, settings
from hypothesis import strategies as st

from stackctl.core.stack.names import COMPOSE_FILE, GATEWAY_CONFIG, RELAY_FILE
from stackctl.core.stack.render import (
    ALL_TEMPLATES,
    TEMPLATES,
    RenderedFiles,
    RenderInput,
    render_files,
    write_compose,
    write_yaml,
)
from stackctl.errors import RenderError
from stackctl.operations.site.load import load_site
from stackctl.operations.site.render import render_site
from tests.fakes import CHECKOUT, World, raised_by
from tests.hostile_texts import HOSTILE, TEXTS, build_hostile_world

hostile = pytest.mark.parametrize("text", HOSTILE, ids=ascii)


def undouble(text: str) -> str:
    """A value as Compose reads it; a single `$` would be a variable."""
    assert "$" not in text.replace("$$", "")
    return text.replace("$$", "$")


@given(TEXTS)
@example("$")
def test_a_yaml_scalar_is_read_back_exactly(text: str) -> None:
    assert yaml.safe_load(f"key: {write_yaml(text)}") == {"key": text}
    assert undouble(yaml.safe_load(f"key: {write_compose([text])}")["key"][0]) == text


@settings(max_examples=50)
@given(
    st.recursive(
        TEXTS | st.integers() | st.booleans() | st.none(), lambda item: st.lists(item) | st.dictionaries(TEXTS, item)
    )
)
def test_a_yaml_collection_is_read_back_exactly(value: object) -> None:
    assert yaml.safe_load(f"key: {write_yaml(value)}") == {"key": value}


@hostile
def test_a_value_of_the_site_survives_into_yaml(text: str) -> None:
    """From `.env` and `stack.yml` to what Compose and LiteLLM read."""
    world = build_hostile_world(text)
    loaded = load_site(world.effects)
    rendered = render_site(world.effects, loaded)
    containers = yaml.safe_load(rendered.files[COMPOSE_FILE])["services"]
    for service in rendered.compose_services:
        assert tuple(map(undouble, containers[service.name].get("command", ()))) == service.arguments
        environment = containers[service.name]["environment"]
        assert {name: undouble(environment[name]) for name in service.environment} == service.environment
    engine = containers["inference-chat"]
    assert undouble(engine["volumes"][0]["source"]) == f"/site/{text}/{text}.gguf"
    assert undouble(engine["image"]) == text
    assert text in map(undouble, containers["inference-extra"]["command"])
    (remote,) = (
        item for item in yaml.safe_load(rendered.files[GATEWAY_CONFIG])["model_list"] if item["model_name"] == "remote"
    )
    assert remote["litellm_params"]["model"] == f"openai/{text}"
    assert remote["litellm_params"]["extra_headers"] == {"X-Tenant": "os.environ/KEY"}


@pytest.fixture
def source(world: World) -> tuple[RenderedFiles, RenderInput]:
    loaded = load_site(world.effects)
    templates = {path: (CHECKOUT / path).read_text() for path in ALL_TEMPLATES}
    return render_site(world.effects, loaded), RenderInput(
        templates, loaded.paths, ("launch",), loaded.images, "/s", ""
    )


@pytest.mark.parametrize("broken", ["{{ gateway.nothing }}", "{% if %}", "{{ unknown }}"])
def test_a_wrong_template_is_named(world: World, source: tuple[RenderedFiles, RenderInput], broken: str) -> None:
    template = TEMPLATES[GATEWAY_CONFIG]
    wrong = replace(source[1], templates={**source[1].templates, template: f"\n\n{broken}"})
    loaded = load_site(world.effects)
    error = raised_by(lambda: render_files(loaded.process, loaded.compose, wrong))
    assert isinstance(error, RenderError)
    assert template in error.message
    assert error.exit_code == 4


def test_nothing_but_the_promised_files_is_rendered(world: World) -> None:
    rendered = render_site(world.effects, load_site(world.effects))
    assert set(rendered.files) == {*TEMPLATES, RELAY_FILE}


def test_a_changed_configuration_changes_the_gateways_digest_only() -> None:
    """So that an edit restarts what it concerns."""
    before, after = (
        {service.name: service.digest for service in render_site(effects, load_site(effects)).compose_services}
        for effects in (World().effects, World(stack="limits: {retries: 3}").effects)
    )
    assert {name for name in before if before[name] != after[name]} == {"api-gateway"}
