"""What is known of one request: its id, its language, and what its line in the log says. Pure."""

from __future__ import annotations

import re
import uuid
from dataclasses import dataclass, field
from typing import Any

from starlette.types import Scope

_KEY = "chat_api.facts"
_REQUEST_ID = re.compile(r"[A-Za-z0-9._:/+=@~-]{1,128}")


@dataclass(slots=True)
class Facts:
    """The facts of one request.

    Attributes:
        language: of its errors.
        code: why it failed; empty for one that did not.
        logged: further facts for the log, of our own words and numbers.
    """

    request_id: str
    language: str
    code: str = ""
    logged: dict[str, Any] = field(default_factory=dict)


def choose_request_id(given: str) -> str:
    """The client's own id where it is 1 to 128 safe characters, else a new one."""
    return given if _REQUEST_ID.fullmatch(given) else f"req_{uuid.uuid4().hex}"


def keep_facts(scope: Scope, facts: Facts) -> None:
    """Put them where those who answer the request find them."""
    scope[_KEY] = facts


def find_facts(scope: Scope) -> Facts:
    """Those of a request."""
    facts = scope[_KEY]
    assert isinstance(facts, Facts)
    return facts
