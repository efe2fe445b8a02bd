"""A stack with services of its own on top of the gateway in a bundle: their images, their wheels, and no key."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import yaml

from stackctl.core.bundle.format.installed_paths import SETTINGS_FILE
from stackctl.core.stack.names import COMPOSE_FILE
from stackctl.operations.bundle.pack.effects import PackEffects
from tests.operations.bundle.pack.packer import Packer, set_env

KEYS = {"CHAT_API_GATEWAY_KEY": "planted-chat-api-key", "AGENTS_GATEWAY_KEY": "planted-agents-key"}


@pytest.fixture
def own_packer(packer: Packer) -> Packer:
    """A packer of a stack with both services."""
    set_env(packer, STACK_APPS="chat-api,agents", CHAT_API_PORT=6001, CHAT_API_SESSIONS="disk", **KEYS)
    return packer


def test_their_images_come_from_the_docker_engine_and_are_named_as_they_are_loaded(
    own_packer: Packer, monkeypatch: pytest.MonkeyPatch
) -> None:
    local = {}
    effects = own_packer.effects
    resolve = effects.sources.resolve_image

    def note(reference: str, is_local: bool) -> object:
        local[reference.rpartition(":")[0]] = is_local
        return resolve(reference, is_local)

    noting = replace(effects, sources=replace(effects.sources, resolve_image=note))  # type: ignore[arg-type]
    monkeypatch.setattr(Packer, "effects", property(lambda self: noting))
    manifest = own_packer.pack().manifest
    assert local["stackctl.invalid/chat-api"] is local["stackctl.invalid/agents"] is True
    images = {image.uses: image for image in manifest.images}
    project = yaml.safe_load(own_packer.texts[f"rendered/{COMPOSE_FILE}"])
    for service in ("chat-api", "agents"):
        container = project["services"][service]
        assert container["image"] == images[(f"app.{service}",)].alias
        assert container["pull_policy"] == "never"


def test_no_key_travels_and_a_port_is_its_machine_s_own(own_packer: Packer) -> None:
    own_packer.pack()
    assert "CHAT_API_SESSIONS=disk" in own_packer.texts[SETTINGS_FILE]
    assert "CHAT_API_PORT" not in own_packer.texts[SETTINGS_FILE]
    assert not [name for name, text in own_packer.texts.items() if "planted" in text]


def list_locks(packer: Packer, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Folders of the locks whose wheels a bundle of both runtimes takes."""
    asked: list[str] = []
    effects = packer.effects

    def collect(lock: Path, title: str, pythons: tuple[str, ...], index: str) -> tuple[Path, ...]:
        asked.append(lock.parent.name)
        return ()

    asking: PackEffects = replace(effects, collect_wheels=collect)
    monkeypatch.setattr(Packer, "effects", property(lambda self: asking))
    packer.pack(with_processes=True)
    return asked


def test_the_wheels_of_their_locks_travel_for_processes(own_packer: Packer, monkeypatch: pytest.MonkeyPatch) -> None:
    assert {"api-gateway", "chat-api", "agents"} <= set(list_locks(own_packer, monkeypatch))
    assert own_packer.warnings == []  # nothing of them is to be installed by hand


def test_without_them_nothing_of_them_is_packed(packer: Packer, monkeypatch: pytest.MonkeyPatch) -> None:
    assert not {"chat-api", "agents"} & set(list_locks(packer, monkeypatch))
    assert not [name for name, text in packer.texts.items() if "chat-api" in text]
