"""What supervisor's own parser and the launcher make of the rendered configuration: every value arrives."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import example, given, settings

from stackctl.core.stack.names import SUPERVISOR_FILE
from stackctl.core.stack.render import RenderedFiles
from stackctl.operations.site.load import load_site
from stackctl.operations.site.render import render_site
from tests.fakes import World
from tests.hostile_texts import HOSTILE, TEXTS, build_hostile_world
from tests.supervised import Started, make_mirror, start_programs


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp('it\'s 한글 "50%" $HOME')


@settings(max_examples=10)
@given(TEXTS)
@example("".join(HOSTILE))
def test_a_value_of_the_site_survives_into_the_processes(folder: Path, text: str) -> None:
    """From `.env` and `stack.yml`, through supervisor's own parser and the launcher, to a started program."""
    world = build_hostile_world(text.replace("/", "|"), folder)
    world.service_environments = folder
    rendered = render_site(world.effects, load_site(world.effects))
    started = start_rendered(rendered, world)
    for service in rendered.process_services:
        assert service.arguments[1:] == started[service.name].arguments
        environment = started[service.name].environment
        assert {name: environment[name] for name in service.environment} == service.environment


def start_rendered(rendered: RenderedFiles, world: World) -> dict[str, Started]:
    """Start what the supervisor configuration says, with programs that tell how they were started."""
    for service in rendered.process_services:
        make_mirror(Path(service.arguments[0]).parent.parent)
    state = world.effects.paths.state_dir
    (state / "logs").mkdir(parents=True, exist_ok=True)
    (state / "secrets.json").write_text("{}")
    config = state / SUPERVISOR_FILE
    config.write_text(rendered.files[SUPERVISOR_FILE], encoding="utf-8")
    return start_programs(config)
