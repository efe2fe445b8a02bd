"""Images that are built on this machine: the ``docker build`` command of each, as a value. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from stackctl.core.engine.engines import ENGINE_FOLDER, LLAMA_CPP_PYTHON, Engine
from stackctl.core.settings.settings import Settings
from stackctl.core.stack.image_choice import Images
from stackctl.core.stack.names import GATEWAY


@dataclass(frozen=True, slots=True)
class ImageBuild:
    """An image to build.

    Attributes:
        title: name of the image in the progress line.
        folder: absolute path of the build context.
        arguments: build arguments, name to value; none is secret.
        ca_bundle: path of the PEM file given as the build secret ``ca``; empty for none.
    """

    title: str
    tag: str
    folder: str
    arguments: Mapping[str, str] = field(repr=False)
    ca_bundle: str

    @property
    def environment(self) -> Mapping[str, str]:
        """Variables from which the command takes its build arguments' values."""
        return self.arguments

    def build_argv(self) -> tuple[str, ...]:
        """The command line that builds the image."""
        # Names only: the values are this command's environment, because a mirror's address may hold a password.
        options = [part for name in sorted(self.arguments) for part in ("--build-arg", name)]
        secret = ["--secret", f"id=ca,src={self.ca_bundle}"] if self.ca_bundle else []
        labels = (
            f"org.opencontainers.image.version={self.tag.rpartition(':')[2]}",
            f"org.opencontainers.image.base.name={self.arguments['BASE_IMAGE']}",
        )
        options += [part for label in labels for part in ("--label", label)]
        return ("docker", "build", "--progress=plain", *options, *secret, "--tag", self.tag, self.folder)


def list_pulls(images: Images, gpu: str) -> tuple[str, ...]:
    """Names of the images that come from a registry."""
    if images.is_released:
        return ()
    pulled = [name for name in images.list_engines(gpu) if name == images.vllm or not images.inference_is_local]
    apps = [image for name, image in images.apps.items() if name not in images.built_apps]
    return (*pulled, *([] if images.gateway_is_local else [images.gateway]), *dict.fromkeys(apps))


def list_loaded(images: Images, gpu: str) -> tuple[str, ...]:
    """Names of the images that a bundle brought, and that must be in the Docker engine."""
    if not images.is_released:
        return ()
    return (*images.list_engines(gpu), images.gateway, *dict.fromkeys(images.apps.values()))


def list_builds(settings: Settings, engine: Engine, images: Images, data_root: str, gpu: str) -> tuple[ImageBuild, ...]:
    """The images that no registry has: the gateway's, those of the stack's own apps, and the engine's unless it is
    llama.cpp's official one.
    """
    if images.is_released:
        return ()
    base = {"BASE_IMAGE": settings.base_image}
    if settings.pip_index_url:
        base["PIP_INDEX_URL"] = settings.pip_index_url
    builds = []
    if images.gateway_is_local:
        builds.append(
            ImageBuild(GATEWAY, images.gateway, f"{data_root}/services/{GATEWAY}", base, settings.build_ca_bundle)
        )
    for name in (name for name in images.apps if name in images.built_apps):
        folder = f"{data_root}/services/{name}"
        builds.append(ImageBuild(name, images.apps[name], folder, base, settings.build_ca_bundle))
    if images.inference_is_local and images.needs_inference:
        assert engine.lock_file is not None
        assert engine.launcher is not None
        # Only what is compiled needs the image with a compiler.
        compiled = engine is LLAMA_CPP_PYTHON
        arguments = {
            **base,
            "BUILD_BASE_IMAGE": settings.build_base_image if compiled else settings.base_image,
            "CUDA": "on" if compiled and gpu == "nvidia" else "off",
            "LOCK": engine.lock_file,
            "LAUNCHER": engine.launcher,
        }
        folder = f"{data_root}/{ENGINE_FOLDER}"
        builds.append(ImageBuild(engine.name, images.inference[gpu], folder, arguments, settings.build_ca_bundle))
    return tuple(builds)
