"""``stackctl models``: list what is served; pull, add, verify model files; recommend some for this machine."""

from __future__ import annotations

import sys
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import click

from stackctl.cli.console import print_json, print_table, print_text, print_warnings
from stackctl.cli.context import Context
from stackctl.errors import ConfigError, Severity

if TYPE_CHECKING:
    from stackctl.operations.models.checked_file import CheckedFile
    from stackctl.operations.models.folder import BroughtModel
    from stackctl.operations.models.recommend import Recommendation

_as_json = click.option("--json", "as_json", is_flag=True, help="Print the result as JSON.")


@click.group(invoke_without_command=True)
@_as_json
@click.pass_context
def models(context: click.Context, as_json: bool) -> None:
    """List what the gateway serves, with each local model's file, size, quantisation, context and slots.

    The commands below bring model files into MODELS_DIR and check them.
    """
    if context.invoked_subcommand is None:
        _list(context.obj, as_json)


@models.command("list", short_help="List what is served.")
@_as_json
@click.pass_obj
def list_command(context: Context, as_json: bool) -> None:
    """List what the gateway serves, as 'stackctl models' alone does."""
    _list(context, as_json)


@models.command(short_help="Download a model, or go on with a download.")
@click.argument("name", metavar="NAME|URL")
@_as_json
@click.pass_obj
def pull(context: Context, name: str, as_json: bool) -> None:
    """Download a model into MODELS_DIR; an interrupted download goes on where it stopped.

    NAME is a catalog name (see 'stackctl models recommend'), hf:owner/repo/file.gguf[@revision], or the web address of
    a .gguf file; #sha256=HEX after it pins the content. All shards of a split model are downloaded.
    """
    from stackctl.cli.world.models import build_store_effects
    from stackctl.operations.models.pull import run_pull

    with context.open() as effects:
        result = run_pull(effects, build_store_effects(), name)
    _show_brought(result, as_json, "downloaded", "none to compare with, recorded")


@models.command(short_help="Bring a model file of this machine.")
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False))
@click.option("--move", is_flag=True, help="Rename the file into the folder instead of copying it.")
@_as_json
@click.pass_obj
def add(context: Context, file: Path, move: bool, as_json: bool) -> None:
    """Copy a model file of this machine, with all its shards, into MODELS_DIR, checked and recorded."""
    from stackctl.cli.world.models import build_store_effects
    from stackctl.operations.models.add import run_add

    if move and file.is_symlink():
        raise click.BadParameter(f"{file} is a link; add it without --move", param_hint="--move")
    with context.open() as effects:
        result = run_add(effects, build_store_effects(), file.absolute(), move)
    _show_brought(result, as_json, "added", "recorded")


@models.command(short_help="Check headers, completeness and SHA-256.")
@click.argument("names", nargs=-1, metavar="[NAME]...")
@_as_json
@click.pass_obj
def verify(context: Context, names: tuple[str, ...], as_json: bool) -> None:
    """Check every file in MODELS_DIR and every configured model: header, completeness, SHA-256; exit 3 when wrong.

    NAME is a file, a catalog name, a served name or a setting such as CHAT_MODEL.
    """
    from stackctl.cli.world.models import build_store_effects
    from stackctl.operations.models.check import verify_models

    with context.open() as effects:
        checked = verify_models(effects, build_store_effects(), names)
    if as_json:
        print_json([{**asdict(item), "status": item.status} for item in checked])
    else:
        _show_checked(checked)
    if any(item.status is Severity.ERROR for item in checked):
        sys.exit(ConfigError.exit_code)


@models.command(short_help="Say what fits, and the lines that serve it.")
@click.option(
    "--memory-gb",
    type=click.FloatRange(min=1, max=10_000),
    metavar="N",
    help="Judge for a GPU with N GB instead of this machine.",
)
@_as_json
@click.pass_obj
def recommend(context: Context, memory_gb: float | None, as_json: bool) -> None:
    """Say which catalog models fit this machine, and the lines that serve them."""
    from stackctl.operations.models.recommend import recommend_models

    with context.open_anywhere() as effects:
        found = recommend_models(effects, memory_gb)
    if as_json:
        print_json(_describe(found))
    else:
        _show_recommendation(found)


def _list(context: Context, as_json: bool) -> None:
    from stackctl.operations.look.listed_models import list_models

    with context.open() as effects:
        found = list_models(effects)
    if as_json:
        print_json([asdict(item) for item in found])
        return
    rows = [
        (
            m.served_name,
            "yes" if m.listed else "no",
            m.file,
            _write_size(m.size_bytes),
            m.quantisation,
            str(m.context_length or ""),
            str(m.slots or ""),
            m.note,
        )
        for m in found
    ]
    print_table(("model", "served", "file", "size", "quantisation", "context", "slots", ""), rows)


def _show_brought(model: BroughtModel, as_json: bool, word: str, unknown: str) -> None:
    """Print what came, and the line that serves it.

    Args:
        unknown: what happened to a digest that was not known beforehand.
    """
    print_warnings(model.warnings)
    if as_json:
        print_json(asdict(model))
        return
    rows = [
        (
            file.name,
            _write_size(file.size_bytes),
            "was here" if file.was_here else word,
            f"{file.sha256} ({'as expected' if file.is_compared else unknown})",
        )
        for file in model.files
    ]
    print_table(("file", "size", "", "sha256"), rows)
    print_text(f"\nTo serve it: {model.setting} in .env, then stackctl up")


def _show_checked(checked: tuple[CheckedFile, ...]) -> None:
    rows = [
        (
            item.path,
            str(item.status),
            _write_size(item.size_bytes),
            f"sha256 as in the {' and the '.join(item.compared_with)}"
            if item.compared_with and item.status is not Severity.ERROR
            else ""
            if item.findings
            else "header only: no sha256 is recorded",
        )
        for item in checked
    ]
    print_table(("file", "status", "size", ""), rows)
    for finding in (finding for item in checked for finding in item.findings):
        print_text(f"\n{finding.severity}: {finding.render_text()}")
        if finding.hint:
            print_text(f"next: {finding.hint}")


def _describe(found: Recommendation) -> dict[str, object]:
    return {
        "device": found.device,
        "available_bytes": found.available_bytes,
        "models": [
            {
                "name": item.name,
                "use": item.model.use,
                "licence": item.model.licence,
                "memory_gb": item.model.memory_gb,
                "size_bytes": item.model.size_bytes or None,
                "fits": item.fits,
                "needed_bytes": item.fit.needed_bytes if item.fit else None,
                "context_length": item.fit.context_length if item.fits and item.fit else None,
                "slots": item.fit.slots if item.fits and item.fit else None,
                "note": item.note,
            }
            for item in found.candidates
        ],
        "plans": [asdict(plan) for plan in found.plans],
    }


def _show_recommendation(found: Recommendation) -> None:
    print_text(f"For {found.device}:\n")
    rows = [
        (
            item.name,
            item.model.use,
            _write_size(item.model.size_bytes),
            "yes" if item.fits else "no",
            f"{item.fit.slots} x {item.fit.context_length}" if item.fits and item.fit else "",
            f"{item.fit.needed_bytes / 2**30:.1f} GiB" if item.fit else "",
            item.model.licence,
            item.note or item.model.purpose,
        )
        for item in found.candidates
    ]
    print_table(("model", "use", "size", "fits", "slots x context", "needs", "licence", ""), rows)
    for plan in found.plans:
        print_text(f"\nFor {plan.use}:")
        for line in (*(f"stackctl models pull {name}" for name in plan.names), *(f"  {x}" for x in plan.env_lines)):
            print_text(f"  {line}")
        if plan.stack_lines:
            print_text("  and in stack.yml, for embeddings beside it:")
            print_text("\n".join(f"    {line}" for line in plan.stack_lines))
    if len(found.plans) > 1:
        print_text("\nEach is for this memory alone; whether both fit together, 'stackctl doctor' says.")
    if not found.plans:
        print_text("\nNothing of the catalog fits; the demo model, which is part of stackctl, always does.")


def _write_size(size: int) -> str:
    from stackctl.core.text.progress import write_size

    return write_size(size) if size else ""
