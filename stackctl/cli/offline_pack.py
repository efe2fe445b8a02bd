"""``stackctl offline-pack``: images, models, wheels and configuration as one signed bundle."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import click

from stackctl.cli.console import print_json, print_table, print_text, print_warnings
from stackctl.cli.main import Context
from stackctl.core.bundle.layout import parse_part_size
from stackctl.core.progress import write_size
from stackctl.errors import Finding, Severity

if TYPE_CHECKING:
    from stackctl.adapters.image_sources import ImageSources
    from stackctl.core.bundle.manifest import Manifest
    from stackctl.core.bundle.signature import SecretKey
    from stackctl.operations.effects import Effects
    from stackctl.operations.offline.pack import PackEffects, PackResult

DEFAULT_PYTHONS = ("3.11", "3.12", "3.13")


class _PartSize(click.ParamType[int]):
    name = "size"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> int:
        try:
            return value if isinstance(value, int) else parse_part_size(str(value))
        except ValueError as error:
            self.fail(str(error), param, ctx)


@click.command("offline-pack")
@click.option(
    "--out", required=True, type=click.Path(path_type=Path, file_okay=False), help="Folder that the bundle goes into."
)
@click.option(
    "--part-size", type=_PartSize(), default="fat32", show_default=True, help="fat32, dvd, bd, or a size such as 8g."
)
@click.option(
    "--base",
    type=click.Path(path_type=Path, exists=True),
    help="An earlier bundle (its folder or bundle.json) that the site has: pack only what is new.",
)
@click.option(
    "--key",
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    help="Secret key to sign with, from stackctl offline-keygen.",
)
@click.option("--include-process-runtime", is_flag=True, help="Also pack what runs without Docker.")
@click.option(
    "--python",
    "pythons",
    multiple=True,
    default=DEFAULT_PYTHONS,
    show_default=True,
    metavar="X.Y",
    help="Version of Python that the site may have; may be repeated.",
)
@click.option(
    "--version", "number", type=click.IntRange(min=1), help="By default one more than the last bundle of this name."
)
@click.option("--gpu", type=click.Choice(["auto", "none", "nvidia", "amd", "vulkan"]), help="GPU of the site.")
@click.option("--dry-run", is_flag=True, help="Show what would be packed; write nothing.")
@click.option("--json", "as_json", is_flag=True, help="Print the result as JSON.")
@click.pass_obj
def offline_pack(
    context: Context,
    out: Path,
    part_size: int,
    base: Path | None,
    key: Path | None,
    include_process_runtime: bool,
    pythons: tuple[str, ...],
    number: int | None,
    gpu: str | None,
    dry_run: bool,
    as_json: bool,
) -> None:
    """Pack this stack into a bundle that installs and proves itself where there is no network."""
    from stackctl.adapters.bundle_writer import load_manifest
    from stackctl.operations.offline.pack import PackRequest, run_pack

    warnings: list[Finding] = []
    with context.open({"STACK_GPU": gpu}) as effects:
        secret = _load_key(key) if key else None
        request = PackRequest(
            out=out.resolve(),
            part_size=part_size,
            base=load_manifest(base) if base else None,
            version=number,
            pythons=tuple(sorted(set(pythons), key=lambda text: [int(part) for part in text.split(".")])),
            with_processes=include_process_runtime,
        )
        result = run_pack(_build_world(effects, secret, warnings), request, dry_run=dry_run)
    if secret is None and not dry_run:
        message = "the bundle is not signed: a site loads it only with --allow-unsigned"
        warnings.append(Finding("--key", message, "make a key with 'stackctl offline-keygen'", Severity.WARNING))
    print_warnings(warnings)
    if as_json:
        print_json(_describe(result))
        return
    _show(result, base is not None)


def _describe(result: PackResult) -> dict[str, object]:
    manifest = result.manifest
    return {
        "folder": str(result.folder) if result.folder else None,
        "unchanged": result.unchanged,
        "id": manifest.id,
        "name": manifest.name,
        "version": manifest.version,
        "parts": [part.model_dump() for part in manifest.parts],
        "images": [{"reference": image.reference, "alias": image.alias} for image in manifest.images],
        "models": [{"served_names": model.served_names, "digest": model.digest} for model in manifest.models],
        "size_bytes": manifest.size_bytes,
        "inherited_bytes": sum(item.size for item in manifest.inherited),
    }


def _show(result: PackResult, is_delta: bool) -> None:
    """What is in it, how large it is, and what to do with it."""
    manifest = result.manifest
    print_table(("content", "what", "size", ""), _list_rows(manifest))
    inherited = sum(item.size for item in manifest.inherited)
    parts = f"{len(manifest.parts)} part{'s'[: len(manifest.parts) != 1]}"
    if is_delta:
        print_text(f"\nLeft out because the base has it: {write_size(inherited)}.")
    if result.folder is None:
        print_text(f"\nDry run: {parts}, {write_size(manifest.size_bytes)}. Nothing was written.")
        return
    verb = "Nothing changed: the bundle is there already" if result.unchanged else "Packed"
    print_text(
        f"\n{verb}: {result.folder}"
        f"\n  version {manifest.version}, {parts}, {write_size(manifest.size_bytes)}"
        f"\n  id {manifest.id}"
        "\n\nTry next:"
        f"\n  stackctl offline-verify {result.folder}"
        "\n  copy the folder to the site; bring the public key another way"
        f"\n  on the site, in it: bootstrap/install.sh, which says what comes next"
    )


def _list_rows(manifest: Manifest) -> Iterator[tuple[str, str, str, str]]:
    for image in manifest.images:
        size = sum(layer.size for layer in image.layers)
        yield "image", image.reference, write_size(size), f"{image.manifest.digest[:19]}, from its {image.source}"
    for model in manifest.models:
        names = ", ".join(file.path for file in model.files)
        note = f"{', '.join(model.served_names)}; licence: {model.licence or 'not stated'}"
        yield "model", names, write_size(sum(file.size for file in model.files)), note
    groups: dict[str, list[int]] = {}
    for file in manifest.files:
        groups.setdefault(file.path.partition("/")[0], []).append(file.size)
    for name, sizes in sorted(groups.items()):
        yield "files", name, write_size(sum(sizes)), f"{len(sizes)} file{'s'[: len(sizes) != 1]}"
    if manifest.bootstrap:
        sizes = [file.size for file in manifest.bootstrap]
        yield "files", "bootstrap", write_size(sum(sizes)), f"{len(sizes)} files beside the parts"


def _load_key(path: Path) -> SecretKey:
    from stackctl.adapters.files import load_text
    from stackctl.core.bundle.signature import parse_secret_key

    return parse_secret_key(load_text(path) or "", str(path))


def _build_world(effects: Effects, secret: SecretKey | None, warnings: list[Finding]) -> PackEffects:
    """Adapters of one pack."""
    import time
    from functools import partial

    from stackctl.adapters import bundle_writer, own_wheel, wheelhouse
    from stackctl.adapters.content_hashes import ContentHashes
    from stackctl.adapters.model_store import load_free_bytes
    from stackctl.adapters.open_source import open_source
    from stackctl.core.bundle.signature import sign
    from stackctl.core.catalog import CATALOG_FILE, parse_catalog
    from stackctl.operations.offline.gather import Sources, find_provenance
    from stackctl.operations.offline.pack import PackEffects

    catalog = parse_catalog(effects.load_text(effects.data_root / CATALOG_FILE) or "")
    hashes = ContentHashes(effects.cache_dir / "hashes", time.time_ns)
    images = _build_image_sources(effects, warnings)
    sources = Sources(hashes.hash_model, hashes.hash_file, images.resolve, partial(find_provenance, effects, catalog))
    writer = bundle_writer.BundleWriter(
        open_blob=lambda blob, offset, before: open_source(images, blob, offset, before),
        stream_layers=images.stream_layers,
        sign=(lambda m, data: sign(secret, data, f"{m.name} {m.version} {m.id}")) if secret else None,
    )
    return PackEffects(
        effects=effects,
        sources=sources,
        architecture=images.platform.architecture,
        collect_wheels=lambda lock, pythons, index: wheelhouse.collect_wheels(
            lock, pythons, effects.cache_dir, index, effects.report
        ),
        describe_wheel=wheelhouse.describe_wheel,
        build_own_wheel=lambda: own_wheel.build_own_wheel(effects.cache_dir / "wheels" / "own"),
        list_bundles=bundle_writer.list_bundles,
        find_free_bytes=load_free_bytes,
        find_partial_bytes=bundle_writer.find_partial_bytes,
        write_bundle=writer.write,
    )


def _build_image_sources(effects: Effects, warnings: list[Finding]) -> ImageSources:
    import platform

    from stackctl.adapters.image_sources import ImageSources
    from stackctl.core.bundle.load_checks import ARCHITECTURES
    from stackctl.core.bundle.oci import Platform

    def warn(text: str) -> None:
        warnings.append(Finding("images", text, severity=Severity.WARNING))

    target = Platform("linux", ARCHITECTURES.get(platform.machine(), platform.machine()))
    return ImageSources(effects.cache_dir / "images", target, effects.report, warn)
