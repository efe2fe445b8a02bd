"""Whether an image that a person named can be what it is named for, before a container is made of it. Pure."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from stackctl.core.apps.catalog import list_own_services
from stackctl.core.apps.own_service import name_package, name_prefix
from stackctl.core.engine.engines import LLAMA_CPP, Engine
from stackctl.core.stack.names import GATEWAY
from stackctl.errors import Finding

if TYPE_CHECKING:
    from stackctl.core.settings.settings import Settings
    from stackctl.core.stack.image_choice import Images

# What llama-server answers to --version, and what its loader says where a GPU's driver is not at hand.
_LLAMA_VERSION: Final = re.compile(r"^version: \d+|error while loading shared libraries: libcuda", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class NamedImage:
    """An image that a setting names.

    Attributes:
        program: word in the command that the image starts: ``llama-server``.
        answers_version: whether the program, started by another one, can be known by its answer to ``--version``.
        folder: the folder below ``services`` that such an image is built from; empty for an engine's.
    """

    setting: str
    image: str
    program: str
    answers_version: bool = False
    folder: str = ""


def list_named_images(settings: Settings, engine: Engine, images: Images) -> tuple[NamedImage, ...]:
    """The images that settings name in the place of llama.cpp's or our own, by their digests where these are pinned."""
    is_official = engine is LLAMA_CPP
    program = "llama-server" if is_official else "/opt/engine/server.py"
    inference = NamedImage("INFERENCE_IMAGE", images.inference["none"], program, answers_version=is_official)
    gateway = NamedImage("GATEWAY_IMAGE", images.gateway, "gateway", folder=GATEWAY)
    apps = [
        NamedImage(f"{name_prefix(name)}IMAGE", images.apps[name], name_package(name), folder=name)
        for name in list_own_services(settings)
        if getattr(settings, f"{name_prefix(name)}IMAGE".lower())
    ]
    return (
        *((inference,) if settings.inference_image else ()),
        *((gateway,) if settings.gateway_image else ()),
        *apps,
    )


def check_architecture(named: NamedImage, architecture: str, of_engine: str) -> tuple[Finding, ...]:
    """An error where the image is for another processor: it would end with 'exec format error', again and again."""
    if not architecture or architecture == of_engine:
        return ()
    message = f"'{named.image}' is for {architecture}, and this Docker engine runs {of_engine}"
    return (
        Finding(named.setting, message, f"name an image for {of_engine}: docker pull --platform linux/{of_engine}"),
    )


def starts_program(named: NamedImage, command: Sequence[str]) -> bool:
    """Whether the image's entry point and command are the expected program."""
    return any(named.program == word.rsplit("/", 1)[-1] or named.program == word for word in command)


def check_program(named: NamedImage, command: Sequence[str], version: str) -> tuple[Finding, ...]:
    """An error where the image starts another program, which would refuse the engine's arguments or do anything.

    Args:
        command: the image's entry point and command.
        version: text that the image printed when it was run with ``--version``; empty when it was not run.
    """
    if starts_program(named, command) or (named.answers_version and _LLAMA_VERSION.search(version)):
        return ()
    shown = " ".join(command) or "nothing"
    message = f"'{named.image}' starts '{shown}', and {named.program} was expected"
    hint = f"name an image of {'llama.cpp' if named.answers_version else named.program}, or clear {named.setting}"
    if named.folder:
        hint = f"name an image that was built from services/{named.folder}, or clear {named.setting}"
    return (Finding(named.setting, message, hint),)
