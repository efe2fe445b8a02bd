"""``stackctl keys``: give out keys to the gateway, list, show, change, revoke and rotate them."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import click

from stackctl.cli.console import print_json, print_note, print_table, print_text, print_warnings
from stackctl.cli.context import Context

if TYPE_CHECKING:
    from stackctl.operations.access.keys import KeyResult

_as_json = click.option("--json", "as_json", is_flag=True, help="Print the result as JSON.")
_LIMITS = (
    click.option("--models", metavar="A,B", help="Served names or patterns (*) that it may ask for.  [default: all]"),
    click.option("--rpm", metavar="N", help="Requests in any 60 seconds."),
    click.option("--tpm", metavar="N", help="Tokens of prompts and answers in any 60 seconds: 100k."),
    click.option("--parallel", metavar="N", help="Requests at the same time."),
    click.option("--budget-tokens", metavar="N/day|N/month", help="Tokens in a day or month of UTC: 1M/day."),
    click.option("--expires", metavar="30d|DATE", help="When it ends: after so long, or at the end of a day (UTC)."),
)


def _take_limits(command: Callable[..., None]) -> Callable[..., None]:
    for option in reversed(_LIMITS):
        command = option(command)
    return command


@click.group()
def keys() -> None:
    """Give out keys to the gateway: one for each person or program, each with its own rights and limits.

    The running gateway is asked; it knows a change within a second, without a restart. While the stack is stopped its
    state is opened here. GATEWAY_KEY of .env goes on to open everything for clients and has no limits.
    """


@keys.command(short_help="Give out a key.")
@click.argument("name")
@_take_limits
@click.option("--local-only", is_flag=True, default=None, help="Only providers in the building may answer it.")
@click.option("--note", help="A remark, for you.")
@_as_json
@click.pass_obj
def create(context: Context, /, name: str, local_only: bool | None, as_json: bool, **options: str | None) -> None:
    """Give out a key called NAME and print it: once, because only its hash is kept.

    Nothing said means nothing held back. Only the key itself goes to standard output.
    """
    from stackctl.operations.access.keys import create_key

    terms = _build_terms(options, local_only)
    with context.open() as effects:
        result = create_key(effects, name, terms)
    _show_secret(result, as_json, f"key '{result.key['name']}' was given out: {_describe(result)}")


@keys.command(short_help="Change what a key may.")
@click.argument("name")
@_take_limits
@click.option("--local-only/--no-local-only", default=None, help="Only providers in the building may answer it.")
@click.option("--note", help="A remark, for you.")
@_as_json
@click.pass_obj
def change(context: Context, /, name: str, local_only: bool | None, as_json: bool, **options: str | None) -> None:
    """Change what the key NAME may; what is not named stays, and 'none' takes a limit away."""
    from stackctl.operations.access.keys import change_key

    terms = _build_terms(options, local_only)
    if not terms:
        raise click.UsageError("Nothing to change was named.")
    with context.open() as effects:
        result = change_key(effects, name, terms)
    _show_key(result, as_json, f"key '{result.key['name']}' was changed: {_describe(result)}")


@keys.command("list", short_help="List the keys.")
@click.option("--all", "with_revoked", is_flag=True, help="Those that were revoked, too.")
@_as_json
@click.pass_obj
def list_command(context: Context, with_revoked: bool, as_json: bool) -> None:
    """List the keys that were given out, with what each may. Never shows a key itself: only hashes are kept."""
    from stackctl.core.access.terms import describe_limits, describe_models, describe_state
    from stackctl.core.text.moments import write_moment
    from stackctl.operations.access.keys import list_keys

    with context.open() as effects:
        done = list_keys(effects, revoked=with_revoked)
    found, now = done.body.get("keys", []), time.time()
    if as_json:
        print_json(found)
        return
    rows = [
        (
            key["name"],
            describe_state(key, now),
            describe_models(key),
            describe_limits(key),
            write_moment(key["created_at"]),
            key.get("note", ""),
        )
        for key in found
    ]
    if rows:
        print_table(("name", "state", "models", "limits", "created", "note"), rows)
    else:
        print_text("No keys were given out. Give one out with: stackctl keys create NAME")
    _note_stopped(done.stopped_in)


@keys.command(short_help="Show one key.")
@click.argument("name")
@_as_json
@click.pass_obj
def show(context: Context, name: str, as_json: bool) -> None:
    """Show what the key NAME may, until when, and which of its secrets are in use."""
    from stackctl.operations.access.keys import show_key

    with context.open() as effects:
        result = show_key(effects, name)
    if as_json:
        print_json(result.key)
        return
    from stackctl.core.access.terms import list_facts

    for title, text in list_facts(result.key, time.time()):
        print_text(f"{title:<10} {text}")
    _note_stopped(result.stopped_in)


@keys.command(short_help="End a key for good.")
@click.argument("name")
@_as_json
@click.pass_obj
def revoke(context: Context, name: str, as_json: bool) -> None:
    """End the key NAME for good, within a second; its usage stays, and the name can be given again."""
    from stackctl.operations.access.keys import revoke_key

    with context.open() as effects:
        result = revoke_key(effects, name)
    _show_key(result, as_json, f"key '{result.key['name']}' opens nothing any more")


@keys.command(short_help="Give a key a new secret.")
@click.argument("name")
@click.option(
    "--grace", default="24h", show_default=True, metavar="24h|7d|0", help="How long the old secret goes on to work."
)
@_as_json
@click.pass_obj
def rotate(context: Context, name: str, grace: str, as_json: bool) -> None:
    """Give the key NAME a new secret and print it, once; the old one works for a grace time more."""
    from stackctl.core.text.moments import parse_duration_s
    from stackctl.operations.access.keys import rotate_key

    try:
        grace_s = parse_duration_s(grace)
    except ValueError as error:
        raise click.BadParameter(str(error), param_hint="--grace") from None
    with context.open() as effects:
        result = rotate_key(effects, name, grace_s)
    end = f"the old one works for {grace} more" if grace_s else "the old one opens nothing any more"
    _show_secret(result, as_json, f"key '{result.key['name']}' has a new secret; {end}")


def _build_terms(options: dict[str, str | None], local_only: bool | None) -> dict[str, Any]:
    from stackctl.core.access.options import OptionError, build_terms

    try:
        return build_terms(options, local_only, time.time())
    except OptionError as error:
        raise click.BadParameter(str(error), param_hint=f"--{error.option.replace('_', '-')}") from None


def _describe(result: KeyResult) -> str:
    from stackctl.core.access.terms import describe_limits, describe_models, describe_state

    models, limits = describe_models(result.key), describe_limits(result.key)
    return f"models: {models}; limits: {limits}; {describe_state(result.key, time.time())}"


def _show_secret(result: KeyResult, as_json: bool, text: str) -> None:
    """Print a new secret: the only line on standard output, so that a script can take it from there."""
    print_warnings(result.warnings)
    if as_json:
        print_json({"key": result.key, "secret": result.secret})
        return
    print_text(result.secret)
    print_note(f"{text}.\nIt is shown this once: only its hash is kept.")
    _note_stopped(result.stopped_in)


def _show_key(result: KeyResult, as_json: bool, text: str) -> None:
    print_warnings(result.warnings)
    if as_json:
        print_json(result.key)
        return
    print_text(text)
    _note_stopped(result.stopped_in)


def _note_stopped(runtime: str) -> None:
    if runtime:
        print_note(f"The gateway is stopped; this is its state in the {runtime} runtime.")
