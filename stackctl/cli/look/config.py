"""``stackctl config``: resolved values with their origin, and the documents made from the same definitions."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import asdict, astuple
from typing import TYPE_CHECKING

import click

from stackctl.cli.console import print_json, print_piece, print_table, print_text, print_warnings
from stackctl.cli.context import Context

if TYPE_CHECKING:
    from stackctl.core.settings.sources import ResolvedSettings


@click.command()
@click.option("--schema", is_flag=True, help="Print the JSON Schema of stack.yml.")
@click.option("--example", is_flag=True, help="Print .env.example.")
@click.option("--reference", is_flag=True, help="Print the reference page of all settings.")
@click.option("--names", is_flag=True, help="Print the reference page of other tools' names in .env.")
@click.option("--json", "as_json", is_flag=True, help="Print the result as JSON.")
@click.pass_obj
def config(context: Context, schema: bool, example: bool, reference: bool, names: bool, as_json: bool) -> None:
    """Show every setting, route and server with its values (secrets masked) and what decided each of them."""
    from stackctl.core.settings.names.reference import render_names
    from stackctl.core.settings.reference import render_env_example, render_reference
    from stackctl.core.settings.stackfile_reader import build_schema

    if schema:
        print_json(build_schema())
        return
    if example or reference or names:
        print_piece(render_env_example() if example else render_reference() if reference else render_names())
        return
    _show_values(context, as_json)


def _show_values(context: Context, as_json: bool) -> None:
    from stackctl.core.settings.names.reference import list_rows
    from stackctl.operations.look.routes import load_routes
    from stackctl.operations.site.load_settings import load_release, load_settings

    with context.open() as effects:
        resolved, stackfile = load_settings(effects)
        release = load_release(effects)
        routes, servers = load_routes(effects, resolved, stackfile, release)
    named = list_rows(resolved.overlay)
    rows = _list_settings(resolved, {name for name, _, _ in named})
    if as_json:
        shown = {name: {"value": value, "origin": origin} for name, value, origin in rows}
        shown |= {name: {"value": value, "origin": ".env", "became": became} for name, value, became in named}
        print_json(shown | {"routes": list(map(asdict, routes)), "servers": list(map(asdict, servers))})
    else:
        print_table(("setting", "value", "origin"), rows)
        if named:
            print_text("")
            print_table(("name in .env", "value", "turned into"), named)
        for title, described in (("name", routes), ("server", servers)):
            print_text("")
            print_table((title, "what", "value", "origin"), map(astuple, described))
        if release:
            print_text(f"\nrelease {release.title}, in {release.folder}")
    print_warnings(resolved.findings)


def _list_settings(resolved: ResolvedSettings, known: Collection[str]) -> list[tuple[str, str, str]]:
    """Each setting, and each variable that only stack.yml names, with its value as it may be shown and its origin.

    Args:
        known: variables that have a table of their own.
    """
    from stackctl.core.settings.settings import list_settings, mask_value

    rows = [
        (
            item.name.upper(),
            mask_value(item, getattr(resolved.values, item.name)),
            str(resolved.origins[item.name.upper()]),
        )
        for item in list_settings()
    ]
    variables = ((name, value) for name, value in resolved.variables.items() if name not in known)
    return rows + [(name, f"(secret, {len(value)} characters)", "stack.yml names it") for name, value in variables]
