"""``stackctl config``: resolved values with their origin, and the documents made from the same definitions."""

from __future__ import annotations

import click

from stackctl.cli.console import print_json, print_piece, print_table, print_text, print_warnings
from stackctl.cli.context import Context


@click.command()
@click.option("--schema", is_flag=True, help="Print the JSON Schema of stack.yml.")
@click.option("--example", is_flag=True, help="Print .env.example.")
@click.option("--reference", is_flag=True, help="Print the reference page of all settings.")
@click.option("--json", "as_json", is_flag=True, help="Print the result as JSON.")
@click.pass_obj
def config(context: Context, schema: bool, example: bool, reference: bool, as_json: bool) -> None:
    """Show every setting, its value (secrets masked) and where it came from."""
    from stackctl.core.settings.reference import render_env_example, render_reference
    from stackctl.core.settings.settings import list_settings, mask_value
    from stackctl.core.settings.stackfile_reader import build_schema

    if schema:
        print_json(build_schema())
        return
    if example or reference:
        print_piece(render_env_example() if example else render_reference())
        return
    from stackctl.operations.site.load_settings import load_release, load_settings

    with context.open() as effects:
        resolved, _ = load_settings(effects)
        release = load_release(effects)
    rows = [
        (
            item.name.upper(),
            mask_value(item, getattr(resolved.values, item.name)),
            str(resolved.origins[item.name.upper()]),
        )
        for item in list_settings()
    ]
    rows += [
        (name, f"(secret, {len(value)} characters)", "stack.yml names it") for name, value in resolved.variables.items()
    ]
    if as_json:
        print_json({name: {"value": value, "origin": origin} for name, value, origin in rows})
    else:
        print_table(("setting", "value", "origin"), rows)
        if release:
            print_text(f"\nrelease {release.title}, in {release.folder}")
    print_warnings(resolved.findings)
