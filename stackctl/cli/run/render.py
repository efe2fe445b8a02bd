"""``stackctl render``: write the files that everything runs from, or check those on disk."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from stackctl.cli.console import print_piece, print_text, print_warnings
from stackctl.cli.context import Context
from stackctl.errors import RenderError


@click.command()
@click.option(
    "--out",
    type=click.Path(path_type=Path, file_okay=False),
    help="Folder to write to; by default .stack/rendered.",
)
@click.option("--check", is_flag=True, help="Write nothing; say whether the files on disk are current.")
@click.option(
    "--litellm",
    is_flag=True,
    help="Print the same routes as a configuration of LiteLLM's own proxy instead; with --out, write litellm.yaml.",
)
@click.pass_obj
def render(context: Context, out: Path | None, check: bool, litellm: bool) -> None:
    """Write the Compose files, the gateway's configuration and the supervisor's, and nothing else."""
    from stackctl.core.stack.names import LITELLM_FILE
    from stackctl.operations.site.render import check_rendered, render_standalone, run_render

    if check and litellm:
        raise click.UsageError("--check and --litellm do not go together.")
    with context.open() as effects:
        if litellm:
            text, warnings = render_standalone(effects, out)
            print_warnings(warnings)
            print_piece(f"{out / LITELLM_FILE}\n" if out else text)
            return
        if check:
            difference = check_rendered(effects, out)
            print_text(difference or "The rendered files are current.")
            sys.exit(RenderError.exit_code if difference else 0)
        written, warnings = run_render(effects, out)
    print_warnings(warnings)
    for path, changed in written:
        print_text(f"{'written  ' if changed else 'unchanged'}  {path}")
