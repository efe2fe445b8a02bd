"""What supervisor's log says of processes that died by themselves: text to counts. Pure.

Supervisor's own interface forgets a death as soon as the process is started again.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

_STARTED = re.compile(r"supervisord started with pid")
_EXITED = re.compile(r"^(\S+ [0-9:]+),\d+ \w+ exited: (\S+) \((.+); not expected\)$")
# All that supervisor's interface says of a program that ended in its first seconds.
_QUICK_EXIT = "Exited too quickly"


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


def describe_end(said: str, deaths: Deaths | None) -> str:
    """Why a program is down, or was: supervisor's own words, unless its log knows the way in which the program died.

    Args:
        said: what supervisor's interface says of the last start; empty when it worked.
    """
    return f"died {deaths.last}" if deaths and (not said or said.startswith(_QUICK_EXIT)) else said
