"""What supervisor's log says of processes that died by themselves: text to counts. Pure.

Supervisor's own interface forgets a death as soon as the process is started again.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

_STARTED = re.compile(r"supervisord started with pid")
_EXITED = re.compile(r"^(\S+ [0-9:]+),\d+ \w+ exited: (\S+) \((.+); not expected\)$")


@dataclass(frozen=True, slots=True)
class Deaths:
    """Deaths of one program since its supervisor started.

    Attributes:
        last: time and way of the last death: ``2026-11-20 10:37:30, terminated by SIGKILL``.
    """

    count: int
    last: str


def parse_deaths(text: str) -> dict[str, Deaths]:
    """Deaths of each program that died at all, by the program's name."""
    found: dict[str, Deaths] = {}
    for line in text.splitlines():
        if _STARTED.search(line):
            found.clear()
        elif match := _EXITED.match(line):
            when, name, how = match.groups()
            found[name] = Deaths(found[name].count + 1 if name in found else 1, f"{when}, {how}")
    return found
