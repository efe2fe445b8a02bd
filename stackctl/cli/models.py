"""``stackctl models``."""

from __future__ import annotations

from dataclasses import asdict

import click

from stackctl.cli.console import print_json, print_table
from stackctl.cli.main import Context


@click.command()
@click.option("--json", "as_json", is_flag=True, help="Print the result as JSON.")
@click.pass_obj
def models(context: Context, as_json: bool) -> None:
    """List what the gateway serves, with each local model's file, size, quantisation, context and slots."""
    from stackctl.operations.inspect import list_models

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


def _write_size(size: int) -> str:
    if not size:
        return ""
    return f"{size / 2**30:.1f} GiB" if size >= 2**30 else f"{size / 2**20:.1f} MiB"
