"""A tool's own file below the person's home: written in one step, and put back. Does I/O through its effects."""

from __future__ import annotations

import hashlib
import json
from contextlib import AbstractContextManager
from pathlib import Path

from stackctl.errors import ConfigError
from stackctl.operations.effects import Effects

_MODE = 0o600


class ToolFile:
    """One tool's file, and what is remembered of it.

    What it held before it was first written is kept until it is put back, readable by its owner alone as the file is.
    """

    def __init__(self, effects: Effects, tool: str, path: Path) -> None:
        self._effects = effects
        self._record = _find_records(effects) / f"{tool}.json"
        self._tool = tool
        self.path = path

    @classmethod
    def find(cls, effects: Effects, tool: str) -> ToolFile:
        """The file that was written for a tool.

        Raises:
            ConfigError: none was.
        """
        text = effects.files.load_text(_find_records(effects) / f"{tool}.json")
        if text is None:
            raise ConfigError(f"Nothing was written for '{tool}', so there is nothing to undo.", "")
        return cls(effects, tool, Path(json.loads(text)["path"]))

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
        for folder in self.path.parents:
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
        known = self._load_record()
        # After somebody else's change, what is put back is what that change left.
        is_ours = known and known["path"] == str(self.path) and _hash(before or "") == known["written"]
        first = known["before"] if known and is_ours else before
        record = {"path": str(self.path), "before": first, "written": _hash(after)}
        self._effects.files.save_text(self._record, json.dumps(record), _MODE)
        self._effects.files.save_text(self.path, after, _MODE)

    def restore(self, *, force: bool) -> bool:
        """Put back what was there; whether that was a file.

        Raises:
            ConfigError: it was changed since.
        """
        record, now = self._load_record(), self.load()
        assert record is not None
        if not force and now is not None and _hash(now) != record["written"]:
            raise ConfigError(
                f"{self.path} was changed since it was written here; putting it back would lose that.",
                "take out by hand what was put in, or give --force",
            )
        if record["before"] is None:
            self._effects.files.remove_file(self.path)
        else:
            self._effects.files.save_text(self.path, record["before"], _MODE)
        self._effects.files.remove_file(self._record)
        return record["before"] is not None

    def _load_record(self) -> dict[str, str | None] | None:
        text = self._effects.files.load_text(self._record)
        return None if text is None else dict(json.loads(text))


def _find_records(effects: Effects) -> Path:
    environment = effects.given.environment
    base = environment.get("XDG_STATE_HOME") or f"{environment.get('HOME') or '/'}/.local/state"
    return Path(base) / "stackctl" / "connect"


def _hash(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
