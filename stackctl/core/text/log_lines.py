"""A line of the gateway's log, which is JSON for programs, as a person reads it. Pure."""

from __future__ import annotations

import json
from typing import Any

# In this order a request's line says what it is; everything else follows by its name.
_REQUEST = ("method", "endpoint", "status")
_HEAD = frozenset({"time", "level", "logger", "message", "event", "exception"})


def write_log_line(line: str) -> str:
    """The line in words, with a line for each exception; any other program's line as it is."""
    entry = _parse(line)
    if entry is None:
        return line
    rest = {name: value for name, value in entry.items() if name not in _HEAD}
    if entry.get("event") == "request":
        said = " ".join(str(rest.pop(name, "-")) for name in _REQUEST)
    else:
        said = str(entry.get("event", entry.get("message", "")))
    facts = [_write_fact(name, value) for name, value in rest.items()]
    head = f"{entry['time']} {entry['level'].upper()} {entry['logger']}: {said}"
    return "\n".join([" ".join([head, *facts]), *(f"  {text}" for text in entry.get("exception", ()))])


def _parse(line: str) -> dict[str, Any] | None:
    """The entry of a line of the gateway's; None for anything else."""
    if not line.startswith('{"time":'):
        return None
    try:
        entry = json.loads(line)
    except ValueError:  # cut where the log was turned over
        return None
    is_ours = isinstance(entry, dict) and all(isinstance(entry.get(name), str) for name in ("time", "level", "logger"))
    return entry if is_ours and isinstance(entry.get("exception", []), list) else None


def _write_fact(name: str, value: Any) -> str:
    if name == "complete":
        return "complete" if value else "incomplete"
    for unit in ("_ms", "_s"):
        if name.endswith(unit):
            return f"{name.removesuffix(unit)}={value} {unit[1:]}"
    return f"{name}={value}"
