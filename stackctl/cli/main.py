"""The command line: global options, the list of commands, exit codes.

Commands are imported when they are run, so ``--help`` answers at once.
"""

from __future__ import annotations

import gc
import os
import sys
from contextlib import suppress
from importlib import import_module
from pathlib import Path

import click

from stackctl import __version__
from stackctl.adapters.machine.interrupts import interrupt_once
from stackctl.cli.context import Context
from stackctl.cli.program import INTERRUPTED, prepare_streams, run_program

COMMANDS = {
    "init": "Make a site folder: .env with fresh keys, stack.yml, models/.",
    "up": "Start the stack and wait until it answers.",
    "down": "Stop the stack.",
    "restart": "Restart services and wait until the stack is healthy.",
    "status": "Show what runs.",
    "health": "Ask every layer whether it works.",
    "doctor": "Check this machine and this site before anything starts.",
    "providers": "Ask each provider and engine whether it works.",
    "drill": "Let a provider fail in every way, and look at what clients see.",
    "top": "Watch the gateway at work.",
    "logs": "Show services' output.",
    "chat": "Ask a model through the gateway.",
    "agents": "Have a problem in a file analysed, and its requirements written.",
    "connect": "Connect an editor, an agent or a library to the gateway.",
    "lan": "Let other machines reach the gateway by TLS.",
    "keys": "Give out keys to the gateway; list, change, revoke and rotate them.",
    "usage": "Show what was used, by key, model, provider or day.",
    "cache": "See and remove the answers that the gateway keeps.",
    "content-log": "Have prompts and answers of a route written down, masked, for a time.",
    "models": "List models; pull, add and verify their files; recommend some.",
    "images": "Pin images to their digests; remove old ones that were built here.",
    "config": "Show the settings and where each came from.",
    "render": "Write the files that the stack starts from.",
    "offline-keygen": "Make the keys that bundles are signed and checked with.",
    "offline-pack": "Pack this stack into a bundle for a site without a network.",
    "offline-verify": "Compare bundles, or what was installed from them, with their manifests.",
    "offline-diff": "Show what changed between two bundles.",
    "offline-load": "Bring a bundle to this site, checked and in one step.",
    "offline-rollback": "Go back to the release before, or to another that was kept.",
    "offline-prune": "Remove old releases, with the models and images that only they used.",
    "offline-prove": "Show that the stack works without a network, with a signed receipt.",
}
# Where commands lie that are not in this folder itself; those on bundles are told by their name.
_ROOMS = {
    **dict.fromkeys(("init", "up", "down", "restart", "render", "lan"), "run."),
    **dict.fromkeys(
        ("status", "health", "doctor", "providers", "drill", "top", "logs", "chat", "agents", "connect", "config"),
        "look.",
    ),
    **dict.fromkeys(("keys", "usage", "cache", "content-log"), "access."),
    **{name: "bundle." for name in COMMANDS if name.startswith("offline-")},
}


class _LazyGroup(click.Group):
    """A group that knows its commands' names and imports one only to run it."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        name = cmd_name.replace("-", "_")
        command = getattr(import_module(f"stackctl.cli.{_ROOMS.get(cmd_name, '')}{name}"), name)
        assert isinstance(command, click.Command)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl(list(COMMANDS.items()))

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        if args and not args[0].startswith("-") and args[0] not in COMMANDS:
            from stackctl.errors import suggest_nearest

            hint = suggest_nearest(args[0], COMMANDS)
            ctx.fail(f"No such command '{args[0]}'" + (f"; {hint}" if hint else "."))
        return super().resolve_command(ctx, args)


@click.group(cls=_LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.option(
    "--site",
    type=click.Path(path_type=Path, file_okay=False),
    help="The site's folder; by default the current one, or the nearest above it that is one.",
)
@click.option("--debug", is_flag=True, help="Show a traceback when something fails.")
@click.version_option(__version__, prog_name="stackctl")
@click.pass_context
def cli(context: click.Context, site: Path | None, debug: bool) -> None:
    """Run a team's local AI stack: llama.cpp behind one gateway for editors and SDKs."""
    context.obj = Context((site or Path()).resolve(), is_named=site is not None)


def main() -> None:
    """Run, and turn every failure into its exit code."""
    gc.set_threshold(20_000)  # imports make much and leave no garbage: looking for it took a tenth of a start
    prepare_streams()
    debug = "--debug" in sys.argv
    with interrupt_once():
        code = run_program(cli, debug=debug)
    if code == INTERRUPTED:  # a thread may still wait for an answer, and Python would wait for the thread
        for stream in (sys.stdout, sys.stderr):
            with suppress(OSError, ValueError):
                stream.flush()
        os._exit(code)
    sys.exit(code)
