"""What is known of one setting, as a dataclass field that carries it. Pure."""

from __future__ import annotations

from dataclasses import field
from typing import Any


def declare(
    default: Any,
    help_text: str,
    *,
    group: str,
    choices: tuple[str, ...] = (),
    bounds: tuple[float, float] | None = None,
    unit: str = "",
    pattern: str = "",
    expected: str = "",
    secret: bool = False,
    generated: bool = False,
    private: bool = False,
    several: bool = False,
    app: str = "",
) -> Any:
    """A dataclass field that carries all that is known about one setting.

    Args:
        several: whether it takes any number of its choices, separated by commas.
        app: name of the app that it is for; without that app nobody needs it.
    """
    metadata = {
        "help": help_text,
        "group": group,
        "choices": choices,
        "bounds": bounds,
        "unit": unit,
        "pattern": pattern,
        "expected": expected,
        "secret": secret,
        "generated": generated,
        "several": several,
        "app": app,
    }
    # What may be secret must not stand in a representation: those end up in tracebacks and logs.
    return field(default=default, metadata=metadata, repr=not (secret or private))
