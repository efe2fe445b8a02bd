"""Apps: which there are, what a site with one has more, and that a site without has nothing of it."""

from __future__ import annotations

import pytest

from stackctl.core.apps.app import AppPlaces
from stackctl.core.apps.catalog import APPS, choose_app_images, choose_apps
from stackctl.core.settings.settings import Settings, list_settings, setting_names
from stackctl.core.settings.value_text import parse_value

STACK_APPS = next(item for item in list_settings() if item.name == "stack_apps")
EVERY_APP = ",".join(app.name for app in APPS)


def test_every_app_can_be_chosen_and_has_its_settings() -> None:
    assert STACK_APPS.metadata["choices"] == tuple(app.name for app in APPS)
    for app in APPS:
        assert {*app.images.values(), *app.ports} <= set(setting_names())
        services = app.build(Settings(), AppPlaces(in_container=True))
        assert {service.name for service in services if service.image or service.is_own} == set(app.images)
        assert set(app.published) <= set(setting_names())


def test_names_may_be_separated_by_spaces_too() -> None:
    assert [app.name for app in choose_apps(Settings(stack_apps=" redis "))] == ["redis"]
    assert choose_apps(Settings()) == ()
    assert choose_app_images(Settings(stack_apps="redis", redis_image="mirror/redis:7")) == {"redis": "mirror/redis:7"}


@pytest.mark.parametrize("text", ["redsi", "redis,redis", "redis,", ",", "redis;", "REDIS"])
def test_an_unknown_name_or_one_given_twice_is_refused_with_the_names_there_are(text: str) -> None:
    _, problem = parse_value(STACK_APPS, text)
    assert f"'{text}'; expected any of {', '.join(STACK_APPS.metadata['choices'])}" in problem


@pytest.mark.parametrize(
    "places", [AppPlaces(in_container=True), AppPlaces(in_container=False, state='/a "b" $c/.stack')]
)
def test_no_service_is_told_a_secret_or_a_path_on_its_command_line(places: AppPlaces) -> None:
    settings = Settings(stack_apps=EVERY_APP, redis_password="planted-redis-password")
    for app in choose_apps(settings):
        for service in app.build(settings, places):
            written = (service.script, service.probe, *service.environment.values())
            assert not any("planted" in text for text in written)
            assert "$c" not in service.script
            # The app lan is given the text of two files.
            assert set(service.secrets.values()) <= {*setting_names(), "LAN_CHAIN", "LAN_KEY"}


def test_a_service_keeps_its_data_in_the_site_or_in_a_volume() -> None:
    assert AppPlaces(in_container=False, state="/site/.stack").choose_folder("redis", "/data") == (
        "/site/.stack/apps/redis"
    )
    assert AppPlaces(in_container=True).choose_folder("redis", "/data") == "/data"
