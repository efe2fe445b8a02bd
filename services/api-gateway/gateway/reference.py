"""Write the reference page of outcomes from the code: ``python -m gateway.reference``. Does I/O only there: stdout."""

from __future__ import annotations

from gateway.outcomes import OUTCOMES, Outcome

_HEAD = """# What the gateway makes of a server's answer

Written from `services/api-gateway/gateway/outcomes.py` by `make docs`.

A route tries its targets in order, each once and as often again as `retries` says, with exponential waits and full
jitter, within one deadline. A server's `Retry-After` is kept when it fits into the deadline, and no wait follows the
last try. Once a client has seen content, nothing is tried again: its stream ends with an error event of its format.

| outcome | what the gateway saw | tried again | next target | client sees, when nothing else answers |
|---|---|---|---|---|
"""
_TAIL = """
A client's error body has the form of its own format, with one of these codes. It never holds a sentence, an address or
a type of the server's: of what a server says only the two numbers of an overflow and the name of a field are passed on.

Three more answers are not about one target:

| code | status | when |
|---|---|---|
| `embeddings_unavailable` | 503 | embeddings are off, not configured or failing; served again when they work |
| `shutting_down` | 503 | the gateway stops, and the request took longer than it waits |
| `internal_error` | 500 | a fault of the gateway's own; its log says where, under the request's id |
"""


def render_outcomes() -> str:
    """The page as Markdown."""
    return _HEAD + "".join(map(_render_row, OUTCOMES)) + _TAIL


def _render_row(outcome: Outcome) -> str:
    text = outcome.text.replace("{model}", "NAME")
    words = ("yes" if outcome.is_retried else "no", "yes" if outcome.falls_back else "no")
    return f"| `{outcome.code}` | {outcome.seen} | {words[0]} | {words[1]} | {outcome.status}: {text} |\n"


if __name__ == "__main__":
    print(render_outcomes(), end="")
