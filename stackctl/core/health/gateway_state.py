"""What the gateway's /health says of its state, as a finding and as a result of health. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from stackctl.core.health.probes import ProbeResult, Status, read_json
from stackctl.errors import Finding, Severity

if TYPE_CHECKING:
    from stackctl.core.stack.runtime import Answer


def find_unusable_state(answer: Answer) -> Finding | None:
    """A warning where the database is away, with what the operator may know of it; None where it is used, or is none.

    Args:
        answer: of /health, asked with the admin key.
    """
    state = _read_state(answer)
    if state.get("status") != "unavailable":
        return None
    message = f"the gateway's database cannot be used: {state.get('reason') or 'it does not say why'}; {_count(state)}"
    hint = "mend what it names; the gateway then finds it by itself, and until then the keys work that it knows"
    return Finding("state", message, hint, Severity.WARNING)


def find_unusable_cache(answer: Answer) -> Finding | None:
    """A warning where answers of routes with a cache are not kept now; None where they are, or no route has one.

    Args:
        answer: of /health, as one worker of the gateway says it.
    """
    cache = (read_json(answer) or {}).get("cache") if answer.status == 200 else None
    if not isinstance(cache, Mapping) or cache.get("status") != "unavailable":
        return None
    message = f"the gateway's cache cannot be used: {cache.get('reason') or 'it does not say why'}; servers are asked"
    return Finding("cache", message, "'stackctl logs api-gateway' says when it began", Severity.WARNING)


def judge_state(name: str, answer: Answer) -> tuple[ProbeResult, ...]:
    """Judge the server where keys and usage are kept; nothing for a file that can be used.

    Args:
        name: of the gateway's service.
        answer: of /health, asked with the admin key.
    """
    state = _read_state(answer)
    kind = state.get("kind")
    if "status" not in state or (kind == "sqlite" and state["status"] == "ok"):
        return ()
    if state["status"] == "ok":
        lost = f", {state['usage_lost']} records of usage were lost" if state.get("usage_lost") else ""
        return (ProbeResult("state", name, Status.OK, f"{kind} answers{lost}"),)
    seen = f"{kind}: {state.get('reason') or 'cannot be used'}; {_count(state)}"
    return (ProbeResult("state", name, Status.WARNING, seen, "run 'stackctl logs api-gateway'"),)


def _read_state(answer: Answer) -> Mapping[str, Any]:
    found = (read_json(answer) or {}).get("state") if answer.status == 200 else None
    return found if isinstance(found, Mapping) else {}


def _count(state: Mapping[str, Any]) -> str:
    return f"{state.get('usage_waiting', 0)} records of usage wait, {state.get('usage_lost', 0)} were lost"
