"""Who asks: keys as they were given out, and the caller of one request. Pure."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

Period = Literal["day", "month"]


@dataclass(frozen=True, slots=True)
class Terms:
    """What a key may; nothing said means nothing held back.

    Attributes:
        models: served names and patterns with ``*`` that it may ask for; empty for all.
        requests_per_minute, tokens_per_minute, parallel_requests: its limits, each at least 1; None for none.
        budget_tokens: tokens of prompts and answers in each ``budget_period``; None for any number.
        budget_period: a calendar day or month of UTC.
        local_only: whether only providers in the building may answer it.
    """

    models: tuple[str, ...] = ()
    requests_per_minute: int | None = None
    tokens_per_minute: int | None = None
    parallel_requests: int | None = None
    budget_tokens: int | None = None
    budget_period: Period = "day"
    local_only: bool = False
    note: str = ""

    @property
    def has_limits(self) -> bool:
        """Whether its requests are counted."""
        return any((self.requests_per_minute, self.tokens_per_minute, self.parallel_requests, self.budget_tokens))


@dataclass(frozen=True, slots=True)
class Key:
    """One key as the database knows it; times in seconds since 1970.

    Attributes:
        id: its number in the database, never given again.
        name: unique among the keys that are not revoked; what logs, metrics and usage show.
    """

    id: int
    name: str
    terms: Terms
    created_at: float
    expires_at: float | None = None
    revoked_at: float | None = None


@dataclass(frozen=True, slots=True)
class Secret:
    """One string that opens the gateway for a key: a key has one, and two for a while after it was rotated.

    Attributes:
        id: the part of the string that finds it, and that may be shown.
        hash: SHA-256 of the whole string.
        ends_at: when the string stops to work, in seconds since 1970, apart from the key's own end; None for never.
    """

    id: str
    hash: bytes = field(repr=False)
    key: Key
    created_at: float
    ends_at: float | None = None


@dataclass(frozen=True, slots=True)
class Caller:
    """Who sent a request.

    Attributes:
        name: ``admin``, ``client`` or a service of the stack for keys of the environment, else the key's name; ``-``
            before a key was found.
        key: the key of the database; None for those of the environment, which have no terms.
    """

    name: str
    is_admin: bool = False
    key: Key | None = None

    @property
    def terms(self) -> Terms:
        """What it may; everything where no key of the database says less."""
        return self.key.terms if self.key else _FREE


_FREE = Terms()
NOBODY = Caller("-")
# The keys of the environment have these, or may have.
RESERVED_NAMES = frozenset({"-", "admin", "client", "chat-api", "agents"})
