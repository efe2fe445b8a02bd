"""``stackctl connect``: how a tool reaches the gateway; writes it into the tool's own file, and takes it back."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from stackctl.cli.console import print_json, print_note, print_piece, print_table, print_text, print_warnings
from stackctl.cli.context import Context
from stackctl.errors import ConfigError, UnhealthyError

if TYPE_CHECKING:
    from stackctl.operations.effects import Effects
    from stackctl.operations.look.connect import Connected
    from stackctl.operations.look.connect_aliases import AliasChange


@click.command(short_help="Connect an editor, an agent or a library to the gateway.")
@click.argument("words", nargs=-1, metavar="[test] [TOOL]")
@click.option("--write", "do_write", is_flag=True, help="Write it into the tool's own file; the rest of it stays.")
@click.option("--dry-run", is_flag=True, help="With --write: only show the difference.")
@click.option("--undo", "do_undo", is_flag=True, help="Put the tool's file back as it was.")
@click.option("--reveal", is_flag=True, help="Show the key where it is needed.")
@click.option("--new-key", metavar="NAME", help="Give out a key of this name for it, instead of GATEWAY_KEY.")
@click.option("--key-file", type=click.File(), metavar="FILE", help="Take the key from a file, or from '-'.")
@click.option("--url", default="", metavar="URL", help="Address of a gateway on another machine; needs --key-file.")
@click.option("--model", default="", metavar="NAME", help="Model to chat with.  [default: the first]")
@click.option("--force", is_flag=True, help="Write into a git repository; undo over later changes.")
@click.option("--json", "as_json", is_flag=True, help="Print the result as JSON.")
@click.pass_obj
def connect(context: Context, /, words: tuple[str, ...], **options: Any) -> None:
    """Connect TOOL to the gateway: print what it needs to be told, or --write it. Without TOOL, list the tools.

    'connect test TOOL' sends requests as the tool sends them, and says of each whether the tool could go on.

    A key is shown with --reveal only. What is written holds it, in a file that only its owner can read.
    """
    tool = _read_words(words, options)
    _check_options(tool, options)
    with context.open_anywhere() if options["url"] or not tool or options["do_undo"] else context.open() as effects:
        if tool is None:
            _list(effects, as_json=options["as_json"])
        elif options["do_undo"]:
            _undo(effects, tool, force=options["force"])
        else:
            _connect(effects, tool, options)


def _read_words(words: tuple[str, ...], options: dict[str, Any]) -> str | None:
    """The tool's name; notes whether its requests are to be tried."""
    options["do_test"] = words[:1] == ("test",)
    names = words[1:] if options["do_test"] else words
    if len(names) > 1 or (options["do_test"] and not names):
        raise click.UsageError("One tool is expected; 'stackctl connect' lists them.")
    return names[0] if names else None


def _check_options(tool: str | None, options: dict[str, Any]) -> None:
    if tool is None and any(value for name, value in options.items() if name != "as_json"):
        raise click.UsageError("Name a tool; 'stackctl connect' lists them.")
    if options["do_write"] and options["do_undo"]:
        raise click.UsageError("--write and --undo exclude each other.")
    if options["do_test"] and (options["do_write"] or options["do_undo"]):
        raise click.UsageError("'test' goes without --write and --undo.")
    if options["dry_run"] and not options["do_write"]:
        raise click.UsageError("--dry-run goes with --write.")
    if options["new_key"] and options["key_file"]:
        raise click.UsageError("--new-key and --key-file exclude each other.")
    if options["new_key"] and options["dry_run"]:
        raise click.UsageError("--new-key and --dry-run exclude each other: a key would be given out.")
    if options["new_key"] and options["do_test"]:
        raise click.UsageError("--new-key and 'test' exclude each other: nobody would see the key.")
    if options["url"] and not options["key_file"]:
        raise click.UsageError("--url needs --key-file: the key of a gateway elsewhere is not known here.")


def _list(effects: Effects, *, as_json: bool) -> None:
    from stackctl.core.connect.show import describe_standing
    from stackctl.core.connect.tools import TOOLS
    from stackctl.operations.look.connect import list_installed

    installed = list_installed(effects)
    if as_json:
        print_json(
            [
                {
                    "name": tool.name,
                    "title": tool.title,
                    "program": installed[tool.name],
                    "checked": tool.checked,
                    "checked_on": tool.checked_on,
                    "obstacle": tool.obstacle,
                }
                for tool in TOOLS.values()
            ]
        )
        return
    rows = [
        (tool.name, tool.title, "yes" if installed[tool.name] else "", describe_standing(tool))
        for tool in TOOLS.values()
    ]
    print_table(("tool", "what it is", "here", "tried with"), rows)


def _connect(effects: Effects, tool: str, options: dict[str, Any]) -> None:
    from stackctl.operations.look.connect import connect as find
    from stackctl.operations.look.connect import find_tool, load_key, write

    find_tool(tool)
    key = _read_key(options["key_file"]) if options["key_file"] else load_key(effects)
    connected = find(effects, tool, key, url=options["url"], model=options["model"])
    if options["new_key"]:
        from stackctl.operations.access.keys import create_key

        if options["do_write"]:  # whatever speaks against it: no key is given out that then stands nowhere
            write(effects, connected, key, dry_run=True, force=options["force"])
        key = create_key(effects, options["new_key"], {}).secret
    print_warnings(connected.findings)
    if connected.trust:
        print_note(f"{connected.tool.title}: {connected.trust}")
    if options["do_test"]:
        _test(effects, connected, key, as_json=options["as_json"])
        return
    if not options["do_write"]:
        is_shown = options["reveal"] or bool(options["new_key"])
        _show(connected, key, reveal=is_shown, as_json=options["as_json"], url=options["url"])
        return
    _write(effects, connected, key, options)


def _write(effects: Effects, connected: Connected, key: str, options: dict[str, Any]) -> None:
    from stackctl.core.connect.names import list_missing
    from stackctl.operations.look.connect import write
    from stackctl.operations.look.connect_aliases import write_aliases

    tool, dry_run, change, difference = connected.tool.name, options["dry_run"], None, ""
    missing = {} if options["url"] else list_missing(connected.aliases)
    if missing:  # whatever speaks against it: the tool's file is not written either
        change = write_aliases(effects, tool, missing, dry_run=True)
    has_file = connected.guide.settings is not None
    if has_file or not missing:  # a tool without a file may still need its aliases
        difference = write(effects, connected, key, dry_run=dry_run, force=options["force"])
    if missing and not dry_run:
        change = write_aliases(effects, tool, missing, dry_run=False)
    if options["as_json"]:
        path, is_changed = connected.path and str(connected.path), bool(difference or missing) and not dry_run
        print_json({"path": path, "changed": is_changed, "aliases": missing})
    else:
        for text in filter(None, (difference, change.difference if change else "")):
            print_text(text)
    if dry_run:
        print_note("nothing was written")
        return
    _note_written(connected, has_file=has_file, has_changed=bool(difference))
    if has_file and connected.is_missing:
        programs = " or ".join(connected.tool.programs)
        print_note(f"no {programs} is on PATH here: what was written is read once {connected.tool.title} is there")
    if change:
        print_note(f"{change.path} has {_describe_aliases(change)}; 'stackctl up' applies it, and --undo takes it out")


def _note_written(connected: Connected, *, has_file: bool, has_changed: bool) -> None:
    tool = connected.tool
    if not has_file:
        print_note(f"{tool.title} keeps its settings in no file: set what 'stackctl connect {tool.name}' prints")
    elif has_changed:
        print_note(f"{connected.path} was written; 'stackctl connect {tool.name} --undo' puts it back")
    else:
        print_note(f"{connected.path} says all of this already")


def _undo(effects: Effects, tool: str, *, force: bool) -> None:
    from stackctl.operations.look.connect import undo

    undone = undo(effects, tool, force=force)
    if undone.path:
        state = "as it was before" if undone.is_there else "gone again: it was not there before"
        print_note(f"{undone.path} is {state}")
    for change in undone.aliases:
        if change.aliases:
            print_note(f"{change.path} is without {_describe_aliases(change)}; 'stackctl up' applies it")
        else:
            print_note(f"{change.path} stays as it is: its aliases were changed since")


def _describe_aliases(change: AliasChange) -> str:
    return ", ".join(f"{name}: {model}" for name, model in change.aliases.items())


def _test(effects: Effects, connected: Connected, key: str, *, as_json: bool) -> None:
    from stackctl.operations.look.connect_test import try_shapes

    trials = []
    for trial in try_shapes(effects, connected, key):
        trials.append(trial)
        if not as_json:
            print_text(f"{'FAILS' if trial.trouble else 'ok':5}  {trial.path}  {trial.what}  ({trial.elapsed_s:.1f} s)")
        if trial.trouble and not as_json:
            print_text(f"       {trial.trouble}")
    if as_json:
        print_json([asdict(trial) for trial in trials])
    failed = sum(bool(trial.trouble) for trial in trials)
    if failed:
        raise UnhealthyError(
            f"{connected.tool.title} could not go on after {failed} of {len(trials)} requests.", "run 'stackctl health'"
        )


def _show_aliases(connected: Connected, *, has_site: bool) -> None:
    """Each name that the tool asks for by itself, and what answers to it."""
    if not connected.aliases:
        return
    file = "stack.yml" if has_site else "stack.yml where the gateway runs"
    ways = {"answered": "", "written": " (in stack.yml: 'stackctl up' applies it)"}
    missing = f" (not in {file} yet" + (": --write puts it there)" if has_site else ")")
    print_note(f"names that {connected.tool.title} asks for by itself:")
    for alias in connected.aliases:
        print_note(f"  {alias.name} -> {alias.model}{ways.get(alias.state, missing)}")


def _read_key(file: Any) -> str:
    key = str(file.read()).strip()
    if not key or any(not 33 <= ord(character) <= 126 for character in key):
        raise ConfigError(f"{Path(file.name).name} holds no key: one line of printable characters was expected.", "")
    return key


def _show(connected: Connected, key: str, *, reveal: bool, as_json: bool, url: str) -> None:
    from stackctl.core.connect.show import list_parts, tell_standing
    from stackctl.core.connect.values import KEY

    parts = list_parts(connected.guide, str(connected.path or ""), key if reveal else KEY)
    if as_json:
        print_json(
            {
                "tool": connected.tool.name,
                "checked": connected.tool.checked,
                "checked_on": connected.tool.checked_on,
                "obstacle": connected.tool.obstacle,
                "url": connected.gateway.url,
                "model": connected.gateway.chat.name,
                "context": connected.gateway.chat.context,
                "aliases": [asdict(alias) for alias in connected.aliases],
                "parts": [{"title": title, "text": text} for title, text in parts],
                "notes": list(connected.guide.notes),
            }
        )
        return
    for title, text in parts:
        print_note(title)
        print_piece(text)
        print_text()
    for note in connected.guide.notes:
        print_note(note)
    _show_aliases(connected, has_site=not url)
    print_note(f"{connected.tool.title}: {tell_standing(connected.tool)}")
    if not reveal and any(KEY in text for _, text in parts):
        print_note(f"{KEY} stands for the key: --reveal shows it")
