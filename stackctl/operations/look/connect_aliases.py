"""Aliases that a tool needs, in the site's `stack.yml`: put in, and taken out again. Does I/O through its effects."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from stackctl.core.connect.alias_text import add_aliases, remove_aliases
from stackctl.core.connect.show import render_difference
from stackctl.core.settings.stackfile_reader import parse_stackfile
from stackctl.errors import ConfigError
from stackctl.operations.effects import Effects
from stackctl.operations.look.connect_files import check_writable, find_record
from stackctl.operations.site.load_settings import load_release, load_settings

_MODE, _RECORD_MODE = 0o644, 0o600


@dataclass(frozen=True, slots=True)
class AliasChange:
    """What became of one `stack.yml`.

    Attributes:
        aliases: those that were put in or taken out, each with its model.
        difference: as ``diff -u`` shows it; empty where nothing changed.
    """

    path: Path
    aliases: Mapping[str, str]
    difference: str


def load_written_aliases(effects: Effects) -> Mapping[str, str]:
    """The aliases that this site's configuration has, whether or not the running gateway knows of them."""
    return load_settings(effects)[1].aliases


def write_aliases(effects: Effects, tool: str, aliases: Mapping[str, str], *, dry_run: bool) -> AliasChange:
    """Put aliases into the site's `stack.yml`, and keep everything else that it says.

    Raises:
        ConfigError: the file cannot be changed, or would not be usable then; it stays as it is.
    """
    path = effects.paths.site / "stack.yml"
    if release := load_release(effects):
        raise ConfigError(
            f"The aliases come with the installed release {release.title}, so {path} is not read.",
            "put them into stack.yml where the bundle is packed",
        )
    check_writable(effects, path)
    with _hold(effects, path):
        before = effects.files.load_text(path, is_exact=True)
        with _explain(path):
            after = add_aliases(before or "", aliases)
        parse_stackfile(after, str(path))
        if not dry_run and after != before:
            entries = _load_entries(effects, tool)
            known = entries.get(str(path), {"before": before, "aliases": {}})
            first = known["before"] if known.get("after") == before else before
            entries[str(path)] = {"before": first, "after": after, "aliases": {**known["aliases"], **aliases}}
            _save_entries(effects, tool, entries)
            _save(effects, path, after)
    return AliasChange(path, aliases, render_difference(str(path), before or "", after, ""))


def undo_aliases(effects: Effects, tool: str) -> tuple[AliasChange, ...]:
    """Take out of every `stack.yml` what was put in for a tool; what was changed since stays, and all else too.

    Raises:
        ConfigError: a file cannot be changed without touching more.
    """
    changes, entries = [], _load_entries(effects, tool)
    for name in list(entries):
        if effects.files.load_text(Path(name)) is not None:
            changes.append(_take_out(effects, Path(name), entries[name]))
        del entries[name]
        _save_entries(effects, tool, entries)
    return tuple(changes)


def _take_out(effects: Effects, path: Path, entry: Mapping[str, Any]) -> AliasChange:
    check_writable(effects, path)
    with _hold(effects, path):
        now, gone = effects.files.load_text(path, is_exact=True) or "", entry["aliases"]
        text = entry["before"]
        if now != entry["after"]:
            with _explain(path):
                text, gone = remove_aliases(now, gone)
        if text is None:
            effects.files.remove_file(path)
        else:
            _save(effects, path, text)
    return AliasChange(path, gone, render_difference(str(path), now, text or "", ""))


def _hold(effects: Effects, path: Path) -> AbstractContextManager[None]:
    """While it is entered, nobody else's command changes this file."""
    return effects.files.hold_lock(path.parent / ".stack" / "aliases.lock")


def _save(effects: Effects, path: Path, text: str) -> None:
    mode = effects.files.load_facts(path).mode
    effects.files.save_text(path, text, _MODE if mode is None else mode & 0o777)


@contextmanager
def _explain(path: Path) -> Iterator[None]:
    try:
        yield
    except ValueError as error:
        raise ConfigError(f"{path} stays as it is: {error}.", "write its 'aliases' by hand") from error


def _load_entries(effects: Effects, tool: str) -> dict[str, dict[str, Any]]:
    """What was put in for a tool: by the path of a `stack.yml`, its text before and after, and the aliases."""
    path = _find_entries(effects, tool)
    text = effects.files.load_text(path)
    try:
        entries = {} if text is None else json.loads(text)
        for entry in entries.values():
            if not isinstance(entry["aliases"], dict) or not isinstance(entry["after"], str):
                raise TypeError(entry)
            if not isinstance(entry["before"], str | None):
                raise TypeError(entry)
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        raise ConfigError(
            f"{path} is no record of what was put into stack.yml, as stackctl writes it.",
            "move it away, and take the aliases out of stack.yml by hand",
        ) from error
    return dict(entries)


def _save_entries(effects: Effects, tool: str, entries: Mapping[str, Any]) -> None:
    path = _find_entries(effects, tool)
    if entries:
        effects.files.save_text(path, json.dumps(entries), _RECORD_MODE)
    else:
        effects.files.remove_file(path)


def _find_entries(effects: Effects, tool: str) -> Path:
    return find_record(effects, f"{tool}.aliases")
