"""An installed release as the site's loader sees it: its stack, its models' paths and its images' names. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import PurePosixPath

from stackctl.core.bundle.format.installed_paths import FILES, RELEASES, SETTINGS_FILE, WHEELS_FOLDER, model_folder
from stackctl.core.bundle.format.manifest import ID_DIGITS, Manifest
from stackctl.core.engine.vllm import VLLM_USE
from stackctl.core.models.requests import ModelRequest

ENGINE_USE = "inference."
_TITLE = re.compile(rf"\S+ (?P<version>[0-9]+) \((?P<short_id>[0-9a-f]{{{ID_DIGITS}}})\)", re.ASCII)


@dataclass(frozen=True, slots=True)
class Release:
    """What runs at this site instead of what the site's own files would build.

    Attributes:
        folder: absolute path of ``offline/releases/<id12>``.
        store: absolute path of ``offline``.
        stack_text: text of the release's ``stack.yml``, which governs.
        settings_text: text of the release's settings, weaker than the site's own and stronger than the defaults.
    """

    manifest: Manifest
    folder: str
    store: str
    stack_text: str
    settings_text: str

    @property
    def title(self) -> str:
        """Name, version and id for people."""
        return title_release(self.manifest)

    @property
    def settings_path(self) -> str:
        """Absolute path of the release's settings file."""
        return f"{self.folder}/{FILES}/{SETTINGS_FILE}"

    @property
    def wheels(self) -> str:
        """Absolute path of the folder that the process runtime is installed from."""
        return f"{self.folder}/{FILES}/{WHEELS_FOLDER}"

    @property
    def engine(self) -> str:
        """Absolute path of the engine that the release brought for the process runtime; empty where it brought none."""
        engine = self.manifest.engine
        return f"{self.folder}/{FILES}/{engine.path}" if engine else ""

    @property
    def images(self) -> Mapping[str, str]:
        """The names that the release's images were loaded under, by what each is for."""
        return {use: image.alias for image in self.manifest.images for use in image.uses}

    @property
    def gpus(self) -> tuple[str, ...]:
        """Accelerators that the release has an engine image for; ``none`` is the CPU.

        A stack that vLLM alone serves has no other engine's image.
        """
        gpus = sorted(use.removeprefix(ENGINE_USE) for use in self.images if use.startswith(ENGINE_USE))
        return tuple(gpus) or (("nvidia",) if VLLM_USE in self.images else ())

    def place_models(self, requests: Sequence[ModelRequest]) -> tuple[ModelRequest, ...]:
        """Point requests for what the release brought to the store; a file that the site chose itself stays."""
        brought = {name: model for model in self.manifest.models for name in model.served_names}
        placed = []
        for request in requests:
            model = brought.get(request.served_name)
            first = model.files[0].path if model else ""
            if model and request.is_vllm:
                request = replace(request, path=f"{self.store}/{model_folder(model.digest)}")
            elif model and PurePosixPath(request.path).name == first:
                request = replace(request, path=f"{self.store}/{model_folder(model.digest)}/{first}")
            placed.append(request)
        return tuple(placed)


def title_release(manifest: Manifest) -> str:
    """A release's name, version and id for people."""
    return f"{manifest.name} {manifest.version} ({manifest.short_id})"


def find_short_id(title: str) -> str:
    """The id in a title that ``title_release`` made; empty where there is none."""
    found = _TITLE.fullmatch(title)
    return found["short_id"] if found else ""


def explain_successor(loaded: Manifest, running: str) -> str:
    """What to do where another release is loaded than the one that runs; empty where they are the same one.

    Args:
        running: title of the release that the stack was started from; empty where it was started from none.
    """
    if title_release(loaded) == running:
        return ""
    found = _TITLE.fullmatch(running)
    if not found:
        return f"release {loaded.version} is loaded, the site's own files run: run 'stackctl up'"
    if int(found["version"]) == loaded.version:
        return f"release {loaded.short_id} is loaded, {found['short_id']} runs: run 'stackctl up'"
    return f"release {loaded.version} is loaded, {found['version']} runs: run 'stackctl up'"


def release_folder(short_id: str) -> str:
    """Where a release lies under ``offline/``."""
    return f"{RELEASES}/{short_id}"
