"""The key of the cache: a secret of the gateway alone, and only where a route has a cache."""

from __future__ import annotations

import pytest
import yaml

from stackctl.core.settings.settings import list_settings
from stackctl.core.settings.value_text import parse_value
from stackctl.operations.site.load import load_site
from stackctl.operations.site.render import build_plan, render_site
from tests.fakes import World

KEY = "planted-cache-key-" + "0" * 32
CACHED = "version: 1\nroutes:\n  local-chat: {cache: {}}\n"


@pytest.mark.parametrize(("stack", "holders"), [(CACHED, {"api-gateway"}), ("version: 1\n", set())])
def test_it_is_a_secret_of_the_gateway_where_a_route_has_a_cache(stack: str, holders: set[str]) -> None:
    world = World(stack=stack)
    world.environment["GATEWAY_CACHE_KEY"] = KEY
    loaded = load_site(world.effects)
    rendered = render_site(world.effects, loaded)
    assert not [name for name, text in rendered.files.items() if "planted" in text]
    plan = build_plan(loaded, rendered, "process", "none")
    assert {name for name, secrets in plan.secrets.items() if KEY in secrets.values()} == holders
    services = yaml.safe_load(rendered.files["compose.p1.yml"])["services"]
    told = {name for name, service in services.items() if "GATEWAY_CACHE_KEY" in (service.get("environment") or {})}
    assert told == holders
    assert "planted" not in repr(loaded.settings)


@pytest.mark.parametrize("text", ["planted-short", "planted with spaces " + "0" * 32])
def test_one_that_is_none_is_refused_and_not_repeated(text: str) -> None:
    item = next(item for item in list_settings() if item.name == "gateway_cache_key")
    _, problem = parse_value(item, text)
    assert "at least 32 ASCII characters" in problem
    assert "planted" not in problem
