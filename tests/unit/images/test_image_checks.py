"""An image that a setting names and that is something else is told by its name, before anything starts."""

from __future__ import annotations

import pytest

from stackctl.core.engine.engines import LLAMA_CPP, LLAMA_CPP_PYTHON, Engine
from stackctl.core.images.checks import NamedImage, check_architecture, check_program, list_named_images
from stackctl.core.images.pins import Pins, pin_images
from stackctl.core.settings.settings import Settings
from stackctl.core.stack.image_choice import choose_images

DIGEST = f"sha256:{'a' * 64}"
LLAMA = NamedImage("INFERENCE_IMAGE", "house/llama:1", "llama-server", answers_version=True)


def list_named(settings: Settings, engine: Engine, pins: Pins | None = None) -> tuple[NamedImage, ...]:
    return list_named_images(settings, engine, pin_images(choose_images(settings, engine, "a", "b"), pins or {}))


def test_only_images_that_settings_name_are_looked_at() -> None:
    assert list_named(Settings(), LLAMA_CPP) == ()
    named = list_named(Settings(inference_image="house/llama:1", gateway_image="house/gateway:1"), LLAMA_CPP)
    assert named == (LLAMA, NamedImage("GATEWAY_IMAGE", "house/gateway:1", "gateway", folder="api-gateway"))
    (own,) = list_named(Settings(inference_image="house/ours:1"), LLAMA_CPP_PYTHON)
    assert own.program == "/opt/engine/server.py"


def test_a_pinned_image_is_looked_at_by_its_digest() -> None:
    pins = {"docker.io/house/llama:1": DIGEST}
    (named,) = list_named(Settings(inference_image="house/llama:1"), LLAMA_CPP, pins)
    assert named.image == f"docker.io/house/llama:1@{DIGEST}"


@pytest.mark.parametrize(
    ("command", "version", "is_fine"),
    [
        (["/app/llama-server"], "", True),
        (["llama-server", "--port", "8080"], "", True),
        (["/bin/sh", "/wrapper"], "version: 6689 (abc)\nbuilt with cc", True),
        (["/bin/sh", "/wrapper"], "llama-server: error while loading shared libraries: libcuda.so.1", True),
        (["docker-entrypoint.sh", "redis-server"], "Redis server v=7.4.1", False),
        (["/app/llama-cli"], "error: no model", False),
        ([], "", False),
    ],
)
def test_the_program_is_known_by_its_command_or_by_its_answer(command: list[str], version: str, is_fine: bool) -> None:
    findings = check_program(LLAMA, command, version)
    assert (findings == ()) is is_fine
    for finding in findings:
        assert finding.subject == "INFERENCE_IMAGE"
        assert "house/llama:1" in finding.message
        assert "llama-server was expected" in finding.message


def test_an_image_for_another_processor_is_named_with_both() -> None:
    assert check_architecture(LLAMA, "amd64", "amd64") == ()
    (finding,) = check_architecture(LLAMA, "arm64", "amd64")
    assert finding.message == "'house/llama:1' is for arm64, and this Docker engine runs amd64"
    assert "linux/amd64" in finding.hint
