"""A database that a setting names: who is told its address, how a container reaches it, what is said of it."""

from __future__ import annotations

import json

import pytest
import yaml

from stackctl.core.access.offline_project import build_offline_file
from stackctl.core.apps.app import AppPlaces
from stackctl.core.apps.catalog import link_apps
from stackctl.core.health.gateway_state import find_unusable_cache, find_unusable_state, judge_state
from stackctl.core.settings.settings import Settings, list_settings
from stackctl.core.settings.value_text import parse_value
from stackctl.core.stack.runtime import Answer
from stackctl.operations.effects import Effects
from stackctl.operations.site.load import load_site
from stackctl.operations.site.render import build_plan, render_site
from tests.fakes import World

URL = "postgresql://u:planted-database-password@db.example:5432/state"
IN_CONTAINER = AppPlaces(in_container=True)


@pytest.fixture
def effects(world: World) -> Effects:
    world.environment["GATEWAY_DATABASE_URL"] = URL
    return world.effects


def test_its_address_is_a_secret_of_the_gateway_alone(effects: Effects) -> None:
    loaded = load_site(effects)
    rendered = render_site(effects, loaded)
    assert not [name for name, text in rendered.files.items() if "planted-database" in text]
    plan = build_plan(loaded, rendered, "process", "none")
    assert {name for name, secrets in plan.secrets.items() if URL in secrets.values()} == {"api-gateway"}
    assert "planted" not in repr(loaded.settings)


def test_a_container_can_reach_it_wherever_it_is(effects: Effects) -> None:
    rendered = render_site(effects, load_site(effects))
    project = yaml.safe_load(rendered.files["compose.p1.yml"])
    gateway = project["services"]["api-gateway"]
    assert gateway["environment"]["GATEWAY_DATABASE_URL"].startswith("${GATEWAY_DATABASE_URL:?")
    assert (gateway["networks"], "dns" in gateway) == (["inference", "providers"], False)
    assert gateway["extra_hosts"] == ["host.docker.internal:host-gateway"]
    masquerade = project["networks"]["providers"]["driver_opts"]["com.docker.network.bridge.enable_ip_masquerade"]
    assert masquerade == "true"
    offline = json.loads(build_offline_file(rendered.files["compose.p1.yml"]))["services"]["api-gateway"]
    assert offline["network_mode"] == "bridge"
    assert set(offline["environment"]) == {"GATEWAY_STATE", "GATEWAY_DATABASE_URL"}
    assert "planted" not in json.dumps(offline)


def test_the_app_is_used_where_no_setting_names_another() -> None:
    app = Settings(stack_apps="postgres")
    assert link_apps(app, IN_CONTAINER).environment == {
        "GATEWAY_DATABASE_URL": "postgresql://gateway@postgres:15432/postgres?sslmode=disable"
    }
    assert link_apps(app, IN_CONTAINER).secrets == {"GATEWAY_DATABASE_PASSWORD": "POSTGRES_PASSWORD"}
    other = Settings(stack_apps="postgres", gateway_database_url=URL)
    assert link_apps(other, IN_CONTAINER).environment == {}


def test_the_app_takes_the_connections_of_every_worker() -> None:
    from stackctl.core.apps.postgres import build_services

    (few,) = build_services(Settings(), IN_CONTAINER)
    (many,) = build_services(Settings(gateway_workers=64), IN_CONTAINER)
    assert few.environment["POSTGRES_CONNECTIONS"] == "100"
    assert int(many.environment["POSTGRES_CONNECTIONS"]) > 5 * 64


@pytest.mark.parametrize("text", ["mysql://h/d", "postgresql://h", "h:5432/d", "postgresql://h/d e"])
def test_what_is_no_address_is_refused_and_not_repeated(text: str) -> None:
    item = next(item for item in list_settings() if item.name == "gateway_database_url")
    _, problem = parse_value(item, text)
    assert "postgresql://" in problem
    assert text not in problem


def answer(**state: object) -> Answer:
    return Answer(200, json.dumps({"status": "ok", "state": state}))


AWAY = answer(kind="postgresql", status="unavailable", since=1.0, reason="no route", usage_waiting=7, usage_lost=2)


def test_a_database_that_is_away_is_a_warning_with_its_reason_and_what_waits() -> None:
    (result,) = judge_state("api-gateway", AWAY)
    assert (result.status, result.layer) == ("warning", "state")
    assert result.detail == "postgresql: no route; 7 records of usage wait, 2 were lost"
    found = find_unusable_state(AWAY)
    assert found
    assert "no route; 7 records of usage wait, 2 were lost" in found.message


def test_one_that_answers_is_shown_and_a_file_is_not() -> None:
    (result,) = judge_state("api-gateway", answer(kind="postgresql", status="ok", usage_waiting=0, usage_lost=0))
    assert (result.status, result.detail) == ("ok", "postgresql answers")
    others = answer(kind="sqlite", status="ok"), answer(kind="none"), Answer(0), Answer(200, "{}"), Answer(200, "x")
    for said in others:
        assert judge_state("api-gateway", said) == ()
        assert find_unusable_state(said) is None


def test_a_cache_that_cannot_be_used_is_a_warning() -> None:
    found = find_unusable_cache(Answer(200, '{"cache": {"status": "unavailable", "reason": "the disk is full"}}'))
    assert found
    assert "the disk is full" in found.message
    for text in ('{"cache": {"status": "ok"}}', '{"cache": "unavailable"}', "{}", "no JSON"):
        assert find_unusable_cache(Answer(200, text)) is None
    assert find_unusable_cache(Answer(503, '{"cache": {"status": "unavailable"}}')) is None
