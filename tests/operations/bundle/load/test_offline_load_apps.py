"""Loading a bundle whose stack has apps: the site makes the passwords that they need."""

from __future__ import annotations

from pathlib import Path

from stackctl.operations.site.init import run_init
from stackctl.operations.site.load_settings import load_settings
from tests.loading import FILES, Place, build

WITH_REDIS = {"files": FILES | {"config/settings.env": b"STACK_APPS=redis\n"}}


def test_a_site_has_the_passwords_of_the_apps_that_its_release_brought(place: Place, disk: Path) -> None:
    bundle, _ = build(disk, **WITH_REDIS)
    place.load(bundle)
    settings = load_settings(place.effects)[0].values
    assert settings.stack_apps == "redis"
    assert settings.redis_password.startswith("sk-")
    assert settings.postgres_password == ""


def test_an_upgrade_that_brings_an_app_leaves_the_keys_that_are_there(place: Place, disk: Path) -> None:
    place.load(build(disk)[0])
    file = place.site / ".env"
    file.write_text(file.read_text().replace("GATEWAY_KEY=sk-", "GATEWAY_KEY=sk-mine-"))
    place.load(build(disk / "newer", version=2, **WITH_REDIS)[0])
    settings = load_settings(place.effects)[0].values
    assert settings.gateway_key.startswith("sk-mine-")
    assert settings.redis_password.startswith("sk-")


def test_init_makes_what_somebody_took_out(place: Place, disk: Path) -> None:
    place.load(build(disk, **WITH_REDIS)[0])
    file = place.site / ".env"
    file.write_text(
        "".join(line for line in file.read_text().splitlines(keepends=True) if "REDIS_PASSWORD" not in line)
    )
    run_init(place.effects)
    assert "REDIS_PASSWORD=sk-" in file.read_text()
