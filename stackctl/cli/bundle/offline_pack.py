"""``stackctl offline-pack``: images, models, wheels and configuration as one signed bundle."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import click

from stackctl.cli.console import print_json, print_table, print_text, print_warnings
from stackctl.cli.context import Context
from stackctl.core.bundle.format.installed_paths import ENGINE_FILES
from stackctl.core.bundle.format.layout import parse_part_size
from stackctl.core.text.progress import write_size
from stackctl.errors import Finding, Severity

if TYPE_CHECKING:
    from stackctl.core.bundle.format.manifest import Manifest
    from stackctl.operations.bundle.pack.pack import PackResult

DEFAULT_PYTHONS = ("3.11", "3.12", "3.13")
OLDEST_PYTHON = 11


class _PartSize(click.ParamType[int]):
    name = "size"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> int:
        try:
            return value if isinstance(value, int) else parse_part_size(str(value))
        except ValueError as error:
            self.fail(str(error), param, ctx)


class _PythonVersion(click.ParamType[str]):
    name = "version"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> str:
        text = str(value)
        match = re.fullmatch(r"3\.([1-9][0-9]?)", text, re.ASCII)
        if not match or int(match[1]) < OLDEST_PYTHON:
            self.fail(f"'{text}' is no version that stackctl runs on; expected 3.{OLDEST_PYTHON} or later", param, ctx)
        return text


@click.command("offline-pack")
@click.option(
    "--out", required=True, type=click.Path(path_type=Path, file_okay=False), help="Folder that the bundle goes into."
)
@click.option(
    "--part-size",
    type=_PartSize(),
    default="fat32",
    show_default=True,
    help="fat32, dvd, bd, or a size such as 700MB, 4.7GB or 8GiB; at least 65MiB.",
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
    type=_PythonVersion(),
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
@click.option(
    "--engine",
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    help="A llama-server for the process runtime; it is run and asked a question before it is packed.",
)
@click.option(
    "--allow-cpu-engine", is_flag=True, help="Go on where the process runtime of a site with a GPU would use its CPU."
)
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
    engine: Path | None,
    allow_cpu_engine: bool,
    dry_run: bool,
    as_json: bool,
) -> None:
    """Pack this stack into a bundle that installs and proves itself where there is no network."""
    from stackctl.cli.world.packing import build_pack_effects, load_manifest
    from stackctl.operations.bundle.pack.effects import PackRequest
    from stackctl.operations.bundle.pack.gather_engine import EngineRequest
    from stackctl.operations.bundle.pack.pack import run_pack

    warnings: list[Finding] = []
    with context.open({"STACK_GPU": gpu}) as effects:
        request = PackRequest(
            out=out.resolve(),
            part_size=part_size,
            base=load_manifest(base) if base else None,
            version=number,
            pythons=tuple(sorted(set(pythons), key=lambda text: int(text.partition(".")[2]))),
            with_processes=include_process_runtime,
            engine=EngineRequest(engine, allow_cpu_engine),
        )
        result = run_pack(build_pack_effects(effects, key, warnings), request, dry_run=dry_run)
    print_warnings([*warnings, *_list_warnings(result)])
    if as_json:
        print_json(_describe(result))
        return
    _show(result, key)


def _list_warnings(result: PackResult) -> Iterator[Finding]:
    version = result.manifest.version
    if result.is_signed is False:
        message = "the bundle is not signed: a site loads it only with --allow-unsigned"
        hint = "make a key with 'stackctl offline-keygen', then run this command again with it"
        yield Finding("--key", message, hint, Severity.WARNING)
    if result.folder and result.newest > version:
        message = (
            f"version {version} has this content; a site that has a later one takes it with --allow-downgrade only"
        )
        hint = f"give --version {result.newest + 1} to pack it as the newest"
        yield Finding("--version", message, hint, Severity.WARNING)
    if result.is_ambiguous:
        message = f"another bundle of version {version} was packed; a site that has it takes this one"
        hint = f"give --version {result.newest + 1}, or leave --version out"
        yield Finding("--version", f"{message} with --allow-downgrade only", hint, Severity.WARNING)


def _describe(result: PackResult) -> dict[str, object]:
    manifest = result.manifest
    return {
        "folder": str(result.folder) if result.folder else None,
        "unchanged": result.unchanged,
        "is_signed": result.is_signed,
        "id": manifest.id,
        "name": manifest.name,
        "version": manifest.version,
        "parts": [part.model_dump() for part in manifest.parts],
        "images": [{"reference": image.reference, "alias": image.alias} for image in manifest.images],
        "models": [{"served_names": model.served_names, "digest": model.digest} for model in manifest.models],
        "size_bytes": manifest.size_bytes,
        "inherited_bytes": sum(item.size for item in manifest.inherited),
    }


def _show(result: PackResult, key: Path | None) -> None:
    """Print what is in the bundle, how large it is, whom it is for, and what to do with it."""
    manifest = result.manifest
    if result.unchanged and result.folder is None:
        print_text(f"Nothing changed: the base, version {manifest.version}, has all of it. Nothing was written.")
        return
    print_table(("content", "what", "size", ""), _list_rows(manifest))
    if manifest.base:
        inherited = sum(item.size for item in manifest.inherited)
        print_text(f"\nLeft out because the base, version {manifest.base.version}, has it: {write_size(inherited)}.")
    if result.folder is None:
        print_text("\nDry run. Nothing was written.")
    else:
        verb = "Nothing changed: the bundle is there already" if result.unchanged else "Packed"
        print_text(f"\n{verb}: {result.folder}")
    parts = f"{len(manifest.parts)} part{'s'[: len(manifest.parts) != 1]}"
    signed = {None: "", True: ", signed", False: ", not signed"}[result.is_signed]
    print_text(f"  version {manifest.version}, {parts}, {write_size(manifest.size_bytes)}{signed}")
    print_text(f"  for {_describe_target(manifest)}")
    print_text(f"  the site needs {_describe_needs(manifest)}")
    if result.folder is not None:
        print_text(f"  id {manifest.id}")
        _show_next(result, key)


def _describe_target(manifest: Manifest) -> str:
    platform, docker = manifest.platform, manifest.requires.docker
    ways = {"compose": f"with Docker {docker} or later", "process": "without Docker"}
    runtimes = " or ".join(ways[runtime] for runtime in manifest.runtimes)
    return f"{platform.os}/{platform.architecture} {runtimes}, Python {', '.join(platform.python)}"


def _describe_needs(manifest: Manifest) -> str:
    disk, engine = write_size(manifest.requires.disk_bytes), write_size(manifest.requires.engine_bytes)
    return f"{disk} for models and files" + (f", at least {engine} in Docker" if manifest.images else "")


def _show_next(result: PackResult, key: Path | None) -> None:
    public = key.with_suffix(".pub") if key else None
    option = f"--key {shlex.quote(str(public))} " if public and public.is_file() else ""
    if not result.is_signed:
        option = "--allow-unsigned "
    print_text(
        "\nTry next:"
        f"\n  stackctl offline-verify {option}{shlex.quote(str(result.folder))}"
        "\n  copy the folder to the site; bring the public key another way"
    )
    if result.manifest.bootstrap:
        print_text("  on the site, in it: sh bootstrap/install.sh, which says what comes next")
    else:
        print_text("  on the site: load it with offline-load; the base must have been loaded before")


def _list_rows(manifest: Manifest) -> Iterator[tuple[str, str, str, str]]:
    for image in manifest.images:
        size = sum(layer.size for layer in image.layers)
        source = "its registry" if image.source == "registry" else "this machine's engine"
        note = f"{', '.join(image.uses)}; {image.manifest.digest[:19]} from {source}"
        yield "image", image.reference, write_size(size), note
    for model in manifest.models:
        more = len(model.files) - 1
        names = model.files[0].path + (f" and {more} more" if more else "")
        note = f"{', '.join(model.served_names)}; licence: {model.licence or 'not stated'}"
        yield "model", names, write_size(sum(file.size for file in model.files)), note
    if engine := manifest.engine:
        size = sum(file.size for file in manifest.files if file.path.startswith(f"{ENGINE_FILES}/"))
        needs = [f"{what} {least}" for what, least in (("glibc", engine.glibc), ("driver", engine.driver)) if least]
        yield "engine", engine.title, write_size(size), f"needs {' and '.join(needs)} or newer" if needs else ""
    groups: dict[str, list[int]] = {}
    for file in manifest.files:
        groups.setdefault(file.path.partition("/")[0], []).append(file.size)
    for name, sizes in sorted(groups.items()):
        yield "files", name, write_size(sum(sizes)), f"{len(sizes)} file{'s'[: len(sizes) != 1]}"
    if manifest.bootstrap:
        sizes = [file.size for file in manifest.bootstrap]
        yield "files", "bootstrap", write_size(sum(sizes)), f"{len(sizes)} files beside the parts"
