"""A stack with apps in a bundle: their images, and what the bundle does not bring."""

from __future__ import annotations

import pytest
import yaml

from stackctl.core.bundle.format.installed_paths import SETTINGS_FILE
from stackctl.core.stack.names import COMPOSE_FILE
from tests.operations.bundle.pack.packer import Packer, set_env

PASSWORD = "planted-redis-password"


@pytest.fixture
def app_packer(packer: Packer) -> Packer:
    """A packer of a stack with the app redis."""
    set_env(packer, STACK_APPS="redis", REDIS_PASSWORD=PASSWORD, REDIS_IMAGE="mirror.example/redis:7")
    packer.world.programs.update({"redis-server": "/usr/bin/redis-server", "redis-cli": "/usr/bin/redis-cli"})
    return packer


def test_the_image_of_an_app_travels_and_the_project_names_it_as_it_is_loaded(app_packer: Packer) -> None:
    manifest = app_packer.pack().manifest
    (image,) = [item for item in manifest.images if item.uses == ("app.redis",)]
    assert image.reference == "mirror.example/redis:7"
    project = yaml.safe_load(app_packer.texts[f"rendered/{COMPOSE_FILE}"])
    assert project["services"]["redis"]["image"] == image.alias
    assert project["services"]["redis"]["pull_policy"] == "missing"


def test_neither_its_password_nor_its_image_s_place_travels(app_packer: Packer) -> None:
    app_packer.pack()
    assert "STACK_APPS=" in app_packer.texts[SETTINGS_FILE]
    for name, text in app_packer.texts.items():
        assert PASSWORD not in text, name
    assert "mirror.example" not in app_packer.texts[SETTINGS_FILE]


def test_who_packs_processes_is_told_which_package_the_site_needs(app_packer: Packer) -> None:
    app_packer.pack(with_processes=True)
    assert [item.subject for item in app_packer.warnings] == ["app redis"]
    assert app_packer.warnings[0].hint.endswith("apt-get install redis-server redis-tools")
