"""What may be asked under one name, what one request needs of it, and how it stands. Pure values.

Tuples, since they travel between a worker and its arbiter as lists of JSON.
"""

from __future__ import annotations

from collections.abc import Callable
from enum import Enum
from typing import Any, NamedTuple

from gateway.state.values import Period


class Bounds(NamedTuple):
    """The limits of one key or target, each at least 1; None is no limit.

    Attributes:
        budget_tokens: tokens in each ``budget_period`` of UTC.
    """

    requests_per_minute: int | None = None
    tokens_per_minute: int | None = None
    parallel_requests: int | None = None
    budget_tokens: int | None = None
    budget_period: Period = "day"

    @property
    def counts_tokens(self) -> bool:
        """Whether any limit is one of tokens."""
        return self.tokens_per_minute is not None or self.budget_tokens is not None


# A name and its limits.
Bounded = tuple[str, Bounds]


class Cost(NamedTuple):
    """The tokens that a request is expected to take, until its server has counted them.

    Attributes:
        prompt: tokens of the prompt, an estimate; 0 for a request that takes none.
        answer: the most that its client lets the answer have, or a usual answer where it does not say.
        is_bounded: whether the client did say.
    """

    prompt: int = 0
    answer: int = 0
    is_bounded: bool = False

    def find_least(self, limit: int) -> int:
        """Tokens that must be left of a limit for the request to be let in.

        An answer that may be longer than the whole limit would never be let in, so it is then as if nothing was said.
        """
        most = self.prompt + self.answer
        if self.is_bounded and most <= limit:
            return most
        return self.prompt + min(self.answer, 1)


class Gauge(NamedTuple):
    """How one limit stands: what is left of it, and the seconds until all of it is there again."""

    limit: int
    left: int
    reset_s: float


class Standing(NamedTuple):
    """How the limits of a name stand: its requests, and the tokens of which least is left; None for no such limit."""

    requests: Gauge | None = None
    tokens: Gauge | None = None


class Taken(NamedTuple):
    """How much of one limit is taken now: ``used`` of ``limit``, by the word of ``Limit``."""

    kind: str
    limit: int
    used: int


def pack_standing(standing: Standing) -> list[list[float] | None]:
    """The standing as JSON takes it; orjson refuses named tuples."""
    return [list(gauge) if gauge else None for gauge in standing]


def unpack_standing(packed: list[list[Any] | None]) -> Standing:
    """The standing that ``pack_standing`` packed."""
    return Standing(*(Gauge(*gauge) if gauge else None for gauge in packed))


class Limit(Enum):
    """Which limit a request is over."""

    REQUESTS = "requests"
    TOKENS = "tokens"
    PARALLEL = "parallel"
    BUDGET = "budget"


class OverLimitError(Exception):
    """A request is over a limit, and was not counted.

    Attributes:
        name: whose limit it is.
        wait_s: seconds until there is room for it; None when there never is, since it needs more than the whole limit.
        least: tokens that had to be left for it.
        left: what is left of that limit.
    """

    def __init__(self, limit: Limit, wait_s: float | None, least: int, left: int, standing: Standing) -> None:
        super().__init__(limit.value)
        self.limit = limit
        self.wait_s = wait_s
        self.least = least
        self.left = left
        self.standing = standing
        self.name = ""


class BaseNeededError(Exception):
    """The arbiter does not know what was used of a budget before it started: it must be told.

    Attributes:
        start_s, end_s: the budget's period, in seconds since 1970.
    """

    def __init__(self, start_s: float, end_s: float) -> None:
        super().__init__("what was used before is not known")
        self.start_s = start_s
        self.end_s = end_s


class Admission:
    """The right of one request to run, until ``leave``; its requests and tokens are counted already.

    Attributes:
        standing: how the limits stand with this request counted.
    """

    __slots__ = ("_leave", "standing")

    def __init__(self, standing: Standing, leave: Callable[[int | None], None]) -> None:
        self.standing = standing
        self._leave: Callable[[int | None], None] | None = leave

    def leave(self, tokens: int | None) -> None:
        """End the request; only the first call counts.

        Args:
            tokens: what it really took; None leaves what was expected, for an answer that nobody counted.
        """
        leave, self._leave = self._leave, None
        if leave:
            leave(tokens)
