"""What a call ends with that has no answer."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


class AgentsError(Exception):
    """A call was not served, or nothing was there to serve it.

    Attributes:
        code: stable word of the problem document, such as ``key_refused``; ``unreachable`` where nobody answered.
        status: HTTP status; 0 where nobody answered.
        problem: the whole document; of ``answer_invalid`` it has ``raw_answer``, what the model wrote last.
    """

    def __init__(self, message: str, code: str, status: int = 0, problem: Mapping[str, Any] | None = None) -> None:
        super().__init__(message)
        self.code, self.status = code, status
        self.problem: Mapping[str, Any] = problem or {}

    @property
    def raw_answer(self) -> str:
        """What the model wrote last, where that is why the call failed."""
        return str(self.problem.get("raw_answer") or "")
