"""A tool's own file below the person's home: written in one step, and put back. Does I/O through its effects."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from contextlib import AbstractContextManager
from dataclasses import asdict, dataclass
from pathlib import Path

from stackctl.errors import ConfigError
from stackctl.operations.effects import Effects

_MODE = 0o600


@dataclass(frozen=True, slots=True)
class _Record:
    """What is remembered of a file.

    Attributes:
        before: what it held before it was first written; None when it did not exist.
        written: digests of what it may hold if nobody else changed it: before and after the last time it was written,
            as that may have failed.
    """

    path: str
    before: str | None
    written: list[str]


class ToolFile:
    """One tool's file, and what is remembered of it.

    What it held before it was first written is kept until it is put back, readable by its owner alone as the file is.
    """

    def __init__(self, effects: Effects, tool: str, path: Path) -> None:
        self._effects = effects
        self._record = _find_record(effects, tool)
        self._tool = tool
        self.path = path

    @classmethod
    def find(cls, effects: Effects, tool: str) -> ToolFile:
        """The file that was written for a tool.

        Raises:
            ConfigError: none was.
        """
        record = _load_record(effects, _find_record(effects, tool))
        if record is None:
            raise _name_nothing(tool)
        return cls(effects, tool, Path(record.path))

    def hold(self) -> AbstractContextManager[None]:
        """While it is entered, no other command changes this file."""
        return self._effects.files.hold_lock(self._record.with_suffix(".lock"))

    def check(self, *, force: bool) -> None:
        """Look whether the file may be written.

        Raises:
            ConfigError: it is a link, or lies in a repository of git, where the key in it might be committed.
        """
        if self._effects.files.is_link(self.path):
            raise ConfigError(f"{self.path} is a link, and what it leads to is not ours.", "write to the file itself")
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
        first = known.before if known and is_ours else before
        record = _Record(str(self.path), first, [now, _hash(after)] if is_ours else [_hash(after)])
        self._effects.files.save_text(self._record, json.dumps(asdict(record)), _MODE)
        self._effects.files.save_text(self.path, after, _MODE)

    def restore(self, *, force: bool) -> bool:
        """Put back what was there; whether that was a file.

        Raises:
            ConfigError: nothing was written, or it was changed since.
        """
        record, now = _load_record(self._effects, self._record), self.load()
        if record is None:
            raise _name_nothing(self._tool)
        if not force and now not in (None, record.before) and _hash(now or "") not in record.written:
            raise ConfigError(
                f"{self.path} was changed since it was written here; putting it back would lose that.",
                "take out by hand what was put in, or give --force",
            )
        if record.before is None:
            self._effects.files.remove_file(self.path)
        elif now != record.before:
            self._effects.files.save_text(self.path, record.before, _MODE)
        self._effects.files.remove_file(self._record)
        return record.before is not None


def find_home(environment: Mapping[str, str]) -> Path:
    """The person's home.

    Raises:
        ConfigError: nothing says where it is.
    """
    home = environment.get("HOME", "")
    if not home.startswith("/"):
        raise ConfigError(f"HOME is '{home}', and the path of a folder was expected.", "set HOME to your home")
    return Path(home)


def _find_record(effects: Effects, tool: str) -> Path:
    environment = effects.given.environment
    base = environment.get("XDG_STATE_HOME") or find_home(environment) / ".local" / "state"
    return Path(base) / "stackctl" / "connect" / f"{tool}.json"


def _load_record(effects: Effects, path: Path) -> _Record | None:
    text = effects.files.load_text(path)
    try:
        record = None if text is None else _Record(**json.loads(text))
    except (ValueError, TypeError, RecursionError) as error:
        raise ConfigError(
            f"{path} is no record of what a tool's file held before, as stackctl writes it.",
            "move it away; then the tool's file can be written again, and what 'stackctl connect' put in is yours",
        ) from error
    return record


def _name_nothing(tool: str) -> ConfigError:
    return ConfigError(f"Nothing was written for '{tool}', so there is nothing to undo.", "")


def _hash(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
