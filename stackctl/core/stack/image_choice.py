"""Which images the compose runtime runs: official, built here, named by a setting, or brought by a bundle. Pure."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field

from stackctl.core.apps.catalog import choose_app_images, list_own_services
from stackctl.core.engine.engines import OFFICIAL_IMAGES, Engine
from stackctl.core.engine.vllm import VLLM_USE
from stackctl.core.settings.settings import Settings
from stackctl.core.stack.names import GATEWAY

GPUS = ("nvidia", "amd", "vulkan")
# Where the names of images begin that are built here: a registry of this name there can never be.
OWN_IMAGES = "stackctl.invalid"
# What a bundle says that an image is for, before the name of an app's service.
APP_USE = "app."


@dataclass(frozen=True, slots=True)
class Images:
    """The images of the compose runtime.

    Attributes:
        inference: name of the engine's image by accelerator, ``none`` being the CPU.
        inference_is_local: whether the engine's image is built here or given by name only, so never pulled.
        is_released: whether a bundle brought the images, so nothing is ever pulled or built.
        vllm: name of vLLM's image; empty where no model is served by it.
        needs_inference: whether any model is served by the stack's engine, so that its image is needed at all.
        apps: name of the image of each service of an app, by the service.
        built_apps: those of these services whose image is built here, so never pulled.
    """

    gateway: str
    inference: Mapping[str, str]
    gateway_is_local: bool
    inference_is_local: bool
    is_released: bool = False
    vllm: str = ""
    needs_inference: bool = True
    apps: Mapping[str, str] = field(default_factory=dict)
    built_apps: frozenset[str] = frozenset()

    def list_engines(self, gpu: str) -> tuple[str, ...]:
        """Names of the images of the engines that are needed with this accelerator."""
        return (*([self.inference[gpu]] if self.needs_inference else []), *([self.vllm] if self.vllm else []))


def choose_images(
    settings: Settings,
    engine: Engine,
    gateway_tag: str,
    inference_tag: str,
    *,
    with_vllm: bool = False,
    app_tags: Mapping[str, str] | None = None,
) -> Images:
    """The images to run; INFERENCE_IMAGE and GATEWAY_IMAGE replace them altogether.

    Args:
        gateway_tag, inference_tag: content digests of the two service folders, so that an image built from other
            sources has another name.
        with_vllm: whether vLLM serves any model.
        app_tags: the same digests for apps' services that are the stack's own, by the service.
    """
    official = engine.launcher is None
    if settings.inference_image:
        inference = dict.fromkeys(("none", *GPUS), settings.inference_image)
    elif official:
        inference = {str(key): value for key, value in OFFICIAL_IMAGES.items()}
    else:
        tag = _tag_build(inference_tag, settings.base_image, settings.build_base_image)
        image = f"{OWN_IMAGES}/{engine.name}:{tag}"
        inference = {**dict.fromkeys(("none", *GPUS), image), "nvidia": f"{image}-cuda"}
    apps = dict(choose_app_images(settings))
    built = frozenset(service for service in list_own_services(settings) if not apps[service])
    tags = app_tags or {}
    apps |= {name: f"{OWN_IMAGES}/{name}:{_tag_build(tags.get(name, ''), settings.base_image)}" for name in built}
    return Images(
        gateway=settings.gateway_image or f"{OWN_IMAGES}/{GATEWAY}:{_tag_build(gateway_tag, settings.base_image)}",
        inference=inference,
        gateway_is_local=not settings.gateway_image,
        inference_is_local=not settings.inference_image and not official,
        vllm=settings.vllm_image if with_vllm else "",
        apps=apps,
        built_apps=built,
    )


def _tag_build(sources: str, *base_images: str) -> str:
    """A tag that changes with everything an image is built from, so that equal images of all stacks are one."""
    return hashlib.sha256("\n".join((sources, *base_images)).encode()).hexdigest()[:12]


def choose_release_images(
    brought: Mapping[str, str],
    gateway_image: str,
    inference_image: str,
    vllm_image: str = "",
    apps: Mapping[str, str] | None = None,
) -> Images:
    """Choose the images of an installed release.

    Args:
        brought: name that each image was loaded under, by use ("api-gateway", "inference.nvidia"); an accelerator that
            the release has no image for is refused before anything starts, so its name is never used.
        gateway_image, inference_image, vllm_image: images that this site itself names instead; empty for none.
        apps: the same for each service of an app, by the service.
    """
    cpu = brought.get("inference.none", "")
    inference = {gpu: inference_image or brought.get(f"inference.{gpu}", cpu) for gpu in ("none", *GPUS)}
    vllm = vllm_image or brought.get(VLLM_USE, "")
    chosen = {name: own or brought.get(f"{APP_USE}{name}", "") for name, own in (apps or {}).items()}
    gateway = gateway_image or brought.get(GATEWAY, "")
    return Images(gateway, inference, True, True, is_released=True, vllm=vllm, apps=chosen)
