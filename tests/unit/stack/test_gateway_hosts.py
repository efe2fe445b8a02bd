"""The names under which the gateway shows its page: told to it in both runtimes, and refused where they are none."""

from __future__ import annotations

import pytest

from stackctl.core.settings.settings import list_settings
from stackctl.core.settings.value_text import parse_value
from stackctl.operations.site.load import load_site
from stackctl.operations.site.render import render_site
from tests.fakes import World, write_env


def find_told(**env: object) -> list[str | None]:
    """What each runtime's gateway is told."""
    world = World(write_env(**env))
    rendered = render_site(world.effects, load_site(world.effects))
    services = (*rendered.compose_services, *rendered.process_services)
    return [service.environment.get("GATEWAY_HOSTS") for service in services if service.name == "api-gateway"]


def test_both_runtimes_tell_the_gateway() -> None:
    assert find_told(GATEWAY_HOSTS="gpu.example,ai") == ["gpu.example,ai"] * 2
    assert find_told() == [None, None]


@pytest.mark.parametrize(
    "text", ["*", "*.example", "gpu.example:8000", "http://gpu.example", "a b", "gpu.example,", "-a"]
)
def test_what_is_no_name_is_refused(text: str) -> None:
    item = next(item for item in list_settings() if item.name == "gateway_hosts")
    _, problem = parse_value(item, text)
    assert "a list of names" in problem
