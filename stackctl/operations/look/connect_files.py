"""A tool's own file below the person's home: written in one step, and put back. Does I/O through its effects."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from contextlib import AbstractContextManager
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from stackctl.core.connect.show import render_difference
from stackctl.errors import ConfigError
from stackctl.operations.effects import Effects

_MODE = 0o600
# Lines of a difference that an error shows.
_SHOWN = 20
_WINDOWS = re.compile(r"([A-Za-z]):[\\/]")


@dataclass(frozen=True, slots=True)
class _Record:
    """What is remembered of a file.

    Attributes:
        before: what it held before it was first written; None when it did not exist.
        written: digests of what it may hold if nobody else changed it: before and after the last time it was written,
            as that may have failed.
        after: what was written last.
        mode: permission bits that it had before it was first written.
    """

    path: str
    before: str | None
    written: list[str]
    after: str = ""
    mode: int = _MODE

    def is_whole(self) -> bool:
        """Whether each part is what it has to be."""
        texts = (self.path, self.before or "", self.after, *self.written)
        return isinstance(self.written, list) and isinstance(self.mode, int) and all(isinstance(t, str) for t in texts)


class ToolFile:
    """One tool's file, and what is remembered of it.

    What it held before it was first written is kept until it is put back, readable by its owner alone as the file is.
    """

    def __init__(self, effects: Effects, tool: str, path: Path) -> None:
        self._effects = effects
        self._record = find_record(effects, tool)
        self._tool = tool
        self.path = path

    @classmethod
    def find(cls, effects: Effects, tool: str) -> ToolFile | None:
        """The file that was written for a tool; None where none was."""
        record = _load_record(effects, find_record(effects, tool))
        return cls(effects, tool, Path(record.path)) if record else None

    def hold(self) -> AbstractContextManager[None]:
        """While it is entered, no other command changes this file."""
        return self._effects.files.hold_lock(self._record.with_suffix(".lock"))

    def check(self, *, force: bool) -> None:
        """Look whether the file may be written.

        Raises:
            ConfigError: it is a link or read-only, or lies in a repository of git, where the key in it might be
                committed.
        """
        check_writable(self._effects, self.path)
        for folder in self._effects.files.find_real(self.path).parents:
            if not force and self._effects.files.load_facts(folder / ".git").mode is not None:
                raise ConfigError(
                    f"{self.path} lies in the git repository {folder}, and the key in it might be committed.",
                    "keep the file out of it by .gitignore, and give --force",
                )

    def load(self) -> str | None:
        """What the file holds; None when it does not exist."""
        return self._effects.files.load_text(self.path, is_exact=True)

    def save(self, before: str | None, after: str) -> None:
        """Write, and remember what was there before the first time."""
        known = _load_record(self._effects, self._record)
        now = _hash(before or "")
        # After somebody else's change, what is put back is what that change left.
        is_ours = known is not None and known.path == str(self.path) and now in known.written
        mode = self._effects.files.load_facts(self.path).mode
        if is_ours and known:
            record = replace(known, written=[now, _hash(after)], after=after)
        else:
            record = _Record(str(self.path), before, [_hash(after)], after, _MODE if mode is None else mode & 0o777)
        self._effects.files.save_text(self._record, json.dumps(asdict(record)), _MODE)
        self._effects.files.save_text(self.path, after, _MODE)

    def restore(self, *, force: bool) -> bool:
        """Put back what was there; whether that was a file.

        Raises:
            ConfigError: nothing was written, it was changed since (names what would be lost), or it became a link or
                read-only.
        """
        check_writable(self._effects, self.path)
        record, now = _load_record(self._effects, self._record), self.load()
        if record is None:
            raise name_nothing(self._tool)
        if not force and now not in (None, record.before) and _hash(now or "") not in record.written:
            raise ConfigError(
                f"{self.path} was changed since it was written here; putting it back would lose that.\n"
                + _cut_short(render_difference(str(self.path), record.after, now or "", "")),
                "take out by hand what was put in, or give --force",
            )
        if record.before is None:
            self._effects.files.remove_file(self.path)
        elif now != record.before:
            self._effects.files.save_text(self.path, record.before, record.mode)
        self._effects.files.remove_file(self._record)
        return record.before is not None


def check_writable(effects: Effects, path: Path) -> None:
    """Look whether a file is one that a person lets others change.

    Raises:
        ConfigError: it is a link, or nobody may write to it, which a file that takes its place would not heed.
    """
    if effects.files.is_link(path):
        raise ConfigError(f"{path} is a link, and what it leads to is not ours.", "write to the file itself")
    mode = effects.files.load_facts(path).mode
    if mode is not None and not mode & 0o200:
        raise ConfigError(f"{path} is read-only (mode {mode & 0o777:04o}); it stays as it is.", f"chmod u+w '{path}'")


def read_folder(variable: str, text: str) -> Path:
    """The folder that a variable names.

    Raises:
        ConfigError: it is none of this system's, as where WSL2 hands on a variable of Windows.
    """
    if windows := _WINDOWS.match(text):
        here = f"/mnt/{windows[1].lower()}/{text[3:].replace(chr(92), '/')}"
        raise ConfigError(
            f"{variable} is '{text}', a path of Windows, which leads nowhere on this side.",
            f"set {variable}='{here}', or unset it for a file in your Linux home",
        )
    if not text.startswith("/"):
        raise ConfigError(f"{variable} is '{text}', and the path of a folder was expected.", f"correct {variable}")
    return Path(text)


def find_home(environment: Mapping[str, str]) -> Path:
    """The person's home.

    Raises:
        ConfigError: nothing says where it is.
    """
    return read_folder("HOME", environment.get("HOME", ""))


def find_record(effects: Effects, name: str) -> Path:
    """Where it is remembered what files held before ``connect`` wrote them."""
    environment = effects.given.environment
    base = environment.get("XDG_STATE_HOME") or find_home(environment) / ".local" / "state"
    return Path(base) / "stackctl" / "connect" / f"{name}.json"


def _load_record(effects: Effects, path: Path) -> _Record | None:
    text = effects.files.load_text(path)
    try:
        record = None if text is None else _Record(**json.loads(text))
        if record and not record.is_whole():
            raise TypeError(text)
    except (ValueError, TypeError, RecursionError) as error:
        raise ConfigError(
            f"{path} is no record of what a tool's file held before, as stackctl writes it.",
            "move it away; then the tool's file can be written again, and what 'stackctl connect' put in is yours",
        ) from error
    return record


def name_nothing(tool: str) -> ConfigError:
    """The error where there is nothing to undo."""
    return ConfigError(f"Nothing was written for '{tool}', so there is nothing to undo.", "")


def _cut_short(text: str) -> str:
    lines = text.splitlines()[2:]
    more = [f"(and {len(lines) - _SHOWN} lines more)"] if len(lines) > _SHOWN else []
    return "\n".join(f"  {line}" for line in (*lines[:_SHOWN], *more))


def _hash(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
