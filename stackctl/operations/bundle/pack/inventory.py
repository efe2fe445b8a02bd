"""A bundle's inventory: its bill of materials, and the licences that its contents state.

In: gathered content. Out: texts by path in the release. Reads wheels' metadata through the function passed in.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

from stackctl import __version__
from stackctl.core.bundle.format.installed_paths import LICENCES_FILE, SBOM_FILE
from stackctl.core.bundle.format.manifest import Image, Model
from stackctl.core.bundle.pack.plan import FileRange
from stackctl.core.bundle.pack.sbom import Component, render_licences, render_sbom
from stackctl.operations.bundle.pack.gather import Gathered

LICENCE = "Apache-2.0"


def gather_inventory(
    images: tuple[Image, ...],
    models: tuple[Model, ...],
    wheels: Gathered,
    bootstrap: Gathered,
    describe_wheel: Callable[[Path, str], Component],
    engine: tuple[Component, ...] = (),
) -> dict[str, str]:
    """The SBOM and the licence notes, text by path in the release.

    Args:
        bootstrap: files beside the parts; the wheel of ``stackctl`` itself is among them.
        describe_wheel: gives a wheel's component, from its own metadata and its digest.
        engine: the components of the engine that the bundle carries.
    """
    own = next(file for file, _ in bootstrap.bootstrap if file.path.startswith("wheels/stackctl-"))
    components = [
        Component("program", "stackctl", __version__, own.sha256, LICENCE),
        *engine,
        *(_describe_image(image) for image in images),
        *(component for model in models for component in _describe_model(model)),
        *(
            describe_wheel(Path(path), sha256)
            for path, sha256 in sorted({*_list_wheels(wheels), *_list_bootstrap(bootstrap)})
            if not Path(path).name.startswith("stackctl-")
        ),
    ]
    return {SBOM_FILE: render_sbom(components), LICENCES_FILE: render_licences(components)}


def _describe_image(image: Image) -> Component:
    sha256 = image.manifest.digest.removeprefix("sha256:")
    source = image.reference if image.source == "registry" else "built on the packing machine"
    return Component("image", image.reference, "", sha256, source=source)


def _describe_model(model: Model) -> Iterator[Component]:
    for file in model.files:
        yield Component("model", file.path, model.revision, file.sha256, model.licence, model.source)


def _list_wheels(wheels: Gathered) -> Iterator[tuple[str, str]]:
    for blob in wheels.blobs:
        if isinstance(blob.source, FileRange):
            yield blob.source.path, blob.sha256


def _list_bootstrap(bootstrap: Gathered) -> Iterator[tuple[str, str]]:
    for file, source in bootstrap.bootstrap:
        if file.path.endswith(".whl") and isinstance(source, FileRange):
            yield source.path, file.sha256
