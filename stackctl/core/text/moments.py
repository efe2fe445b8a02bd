"""Durations and moments as a person types and reads them: ``24h``, ``30d``, ``2027-01-31``. Pure; now is passed in.

Moments are seconds since 1970. A day is a day of UTC, as in the gateway's budgets and reports.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from typing import Final

DAY_S: Final = 86_400
_UNITS_S: Final = {"s": 1, "m": 60, "h": 3600, "d": DAY_S, "w": 7 * DAY_S}
_DURATION: Final = re.compile(r"([0-9]{1,9})([smhdw])")
_DAY: Final = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")
_MOMENT: Final = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}[T ][0-9]{2}:[0-9]{2}(:[0-9]{2})?(Z|[+-][0-9]{2}:[0-9]{2})?")
# Longer is meant as "for ever", and "for ever" is not to say anything.
LONGEST_S: Final = 100 * 366 * DAY_S


def parse_duration_s(text: str) -> int:
    """Seconds of a whole number with one of the letters s, m, h, d, w: ``90s``, ``24h``, ``30d``; ``0`` is none.

    Raises:
        ValueError: it is no such duration, or longer than a century; says what was expected.
    """
    if text == "0":
        return 0
    match = _DURATION.fullmatch(text)
    if match is None:
        raise ValueError(f"'{text}' is no duration; expected a number with s, m, h, d or w, such as 24h or 30d")
    seconds = int(match[1]) * _UNITS_S[match[2]]
    if seconds > LONGEST_S:
        raise ValueError(f"'{text}' is longer than a century")
    return seconds


def parse_end(text: str, now: float) -> float:
    """The moment at which something ends: so long from now, at the end of a day, or at a time of a day.

    Raises:
        ValueError: it is neither, or lies in the past; says what was expected.
    """
    end = _parse_moment(text, now, sign=1, is_end=True)
    if end <= now:
        raise ValueError(f"'{text}' is in the past")
    return end


def parse_since(text: str, now: float) -> float:
    """The moment from which something counts: so long ago, the beginning of a day, or a time of a day.

    Raises:
        ValueError: it is neither; says what was expected.
    """
    return _parse_moment(text, now, sign=-1, is_end=False)


def parse_until(text: str, now: float) -> float:
    """The moment up to which something counts: so long ago, the end of a day, or a time of a day.

    Raises:
        ValueError: it is neither; says what was expected.
    """
    return _parse_moment(text, now, sign=-1, is_end=True)


def _parse_moment(text: str, now: float, *, sign: int, is_end: bool) -> float:
    if _DURATION.fullmatch(text):
        return now + sign * parse_duration_s(text)
    try:
        if _DAY.fullmatch(text):
            day = datetime.fromisoformat(text).replace(tzinfo=UTC)
            return (day + timedelta(days=1)).timestamp() if is_end else day.timestamp()
        if _MOMENT.fullmatch(text):
            moment = datetime.fromisoformat(text)
            return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
    except (ValueError, OverflowError):
        raise ValueError(f"'{text}' is no day of the calendar") from None
    raise ValueError(f"'{text}' is neither a duration such as 30d nor a day such as 2027-01-31")


def write_moment(moment: float) -> str:
    """A moment for people, to the minute: ``2027-01-31 12:00 UTC``; empty for one that no calendar has."""
    try:
        return datetime.fromtimestamp(moment, UTC).strftime("%Y-%m-%d %H:%M UTC")
    except (ValueError, OverflowError, OSError):
        return ""


def write_distance(seconds: float) -> str:
    """A length of time for people, rounded in its largest unit: ``3 d``, ``5 h``, ``12 min``, ``8 s``."""
    for unit, name in ((DAY_S, "d"), (3600, "h"), (60, "min")):
        if seconds >= unit:
            return f"{round(seconds / unit)} {name}"
    return f"{max(round(seconds), 0)} s"
