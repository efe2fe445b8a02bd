"""What a key may, as a person writes it and reads it: counts, budgets, lists of models, and a key's own words. Pure.

A key is what the gateway's actions answer: a mapping of its fields.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from stackctl.core.text.moments import write_distance, write_moment

_COUNT: Final = re.compile(r"([0-9]{1,15})([kKmMgG]?)")
_FACTORS: Final = {"": 1, "k": 1_000, "m": 1_000_000, "g": 1_000_000_000}
PERIODS: Final = ("day", "month")
# What SQLite and JSON readers hold exactly, with room for sums.
LARGEST_COUNT: Final = 10**15


def parse_count(text: str) -> int:
    """A whole number of at least 1, with or without one of the letters k, M, G (1000, 1000 squared, ...): ``500k``.

    Raises:
        ValueError: it is no such number; says what was expected.
    """
    match = _COUNT.fullmatch(text)
    value = int(match[1]) * _FACTORS[match[2].lower()] if match else 0
    if not 1 <= value <= LARGEST_COUNT:
        raise ValueError(f"'{text}' is no number of at least 1, such as 60, 100k or 2M")
    return value


def write_count(value: int) -> str:
    """The same number for people, short where nothing is lost: ``60``, ``100k``, ``2M``, ``1234567``."""
    for letter in ("G", "M", "k"):
        factor = _FACTORS[letter.lower()]
        if value and value % factor == 0:
            return f"{value // factor}{letter}"
    return str(value)


@dataclass(frozen=True, slots=True)
class Budget:
    """Tokens of prompts and answers in each calendar day or month of UTC."""

    tokens: int
    period: str


def parse_budget(text: str) -> Budget:
    """A budget as ``N/day`` or ``N/month``: ``1M/day``.

    Raises:
        ValueError: it is none; says what was expected.
    """
    count, slash, period = text.partition("/")
    if not slash or period not in PERIODS:
        raise ValueError(f"'{text}' is no budget; expected tokens a day or a month, such as 1M/day or 20M/month")
    return Budget(parse_count(count), period)


def parse_names(text: str) -> tuple[str, ...]:
    """Names between commas, each once, in their order.

    Raises:
        ValueError: there is none, or an empty one between two commas.
    """
    names = tuple(dict.fromkeys(part.strip() for part in text.split(",")))
    if not all(names):
        raise ValueError(f"'{text}' is no list of names; expected names between commas, such as local-chat,local-embed")
    return names


def describe_models(key: Mapping[str, Any]) -> str:
    """The models that a key may ask for: ``all``, or their names."""
    return ", ".join(key.get("models") or ()) or "all"


def describe_limits(key: Mapping[str, Any]) -> str:
    """A key's limits in words: ``60 requests/min, 100k tokens/min, 4 at once, 1M tokens/day``; ``none``."""
    parts = [
        f"{write_count(key[name])} {words}"
        for name, words in (
            ("requests_per_minute", "requests/min"),
            ("tokens_per_minute", "tokens/min"),
            ("parallel_requests", "at once"),
        )
        if key.get(name)
    ]
    if key.get("budget_tokens"):
        parts.append(f"{write_count(key['budget_tokens'])} tokens/{key.get('budget_period') or 'day'}")
    if key.get("local_only"):
        parts.append("local only")
    return ", ".join(parts) or "none"


def describe_state(key: Mapping[str, Any], now: float) -> str:
    """Whether a key opens the gateway now: ``valid``, ``valid for 3 d``, ``expired``, ``revoked 2027-01-31 ...``."""
    if (revoked_at := key.get("revoked_at")) is not None:
        return f"revoked {write_moment(revoked_at)}"
    expires_at = key.get("expires_at")
    if (unknown_since := key.get("unknown_since")) is not None and (expires_at is None or expires_at > now):
        return f"unknown: perhaps revoked before {write_moment(unknown_since)}, when an older copy was put back"
    if expires_at is None:
        return "valid"
    if expires_at <= now:
        return f"expired {write_moment(expires_at)}"
    return f"valid for {write_distance(expires_at - now)}"


def list_facts(key: Mapping[str, Any], now: float) -> list[tuple[str, str]]:
    """Everything about a key as titles and texts, in the order in which a person asks; what is empty is left out."""
    expires_at = key.get("expires_at")
    facts = [
        ("name", str(key["name"])),
        ("state", describe_state(key, now)),
        ("models", describe_models(key)),
        ("limits", describe_limits(key)),
        ("created", write_moment(key["created_at"])),
        ("expires", "never" if expires_at is None else write_moment(expires_at)),
        ("note", str(key.get("note") or "")),
        *(("secret", _describe_secret(secret, now)) for secret in key.get("secrets", ())),
    ]
    return [(title, text) for title, text in facts if text]


def _describe_secret(secret: Mapping[str, Any], now: float) -> str:
    """Which secret it is, by the part that clients' logs may show, and how long it opens the gateway."""
    begin = f"sk-{secret['id']}-..., since {write_moment(secret['created_at'])}"
    ends_at = secret.get("ends_at")
    if ends_at is None:
        return begin
    return f"{begin}, for {write_distance(ends_at - now)} more" if ends_at > now else f"{begin}, ended"
