"""Every way in which the stand-in fails, by name: a model of that name fails so without being told. Pure."""

from __future__ import annotations

from collections.abc import Mapping

from stackctl.core.drill.answers import CANARY
from stackctl.core.drill.behaviour import Behaviour, End
from stackctl.core.drill.refusals import (
    STATUSES,
    STYLES,
    build_loading,
    build_overflow,
    build_refusal,
    build_unread_content,
)

OK = Behaviour()
# Longer than a drill's time-outs, and not for ever.
SLOW_S = 5.0
# What comes in one read with the break of its stream was seen by nobody, and may be asked for again.
_PASSED_ON_S = 1.5
_HTML = f"<!DOCTYPE html><html><body><h1>{CANARY}</h1>It works!</body></html>".encode()


def find_behaviour(model: str) -> Behaviour:
    """How the stand-in serves a model that nobody scripted: as its name says (what follows ``@`` is left out)."""
    return FAULTS.get(model.partition("@")[0], OK)


def _list_refusals() -> Mapping[str, Behaviour]:
    by_style = {f"{status}-{style}": build_refusal(status, style) for status in STATUSES for style in STYLES}
    return by_style | {f"overflow-{style}": build_overflow(style) for style in STYLES}


def _break_after(end: End) -> Behaviour:
    """Two pieces that the gateway has passed on by the time that the answer breaks."""
    return Behaviour(end=end, end_after=2, wait_end_s=_PASSED_ON_S)


FAULTS: Mapping[str, Behaviour] = {
    "ok": OK,
    **_list_refusals(),
    "loading": build_loading(),
    "content-llama": build_unread_content(),
    "429-retry-after": build_refusal(429, headers=(("retry-after", "1"),)),
    "429-retry-never": build_refusal(429, headers=(("retry-after", "86400"),)),
    "503-retry-after": build_refusal(503, headers=(("retry-after", "1"),)),
    "302": Behaviour(status=302, body=b"", headers=(("location", f"http://127.0.0.1:9/{CANARY}"),)),
    "no-http": Behaviour(body=f"SSH-2.0-{CANARY}\r\n".encode(), is_raw=True),
    "reset": Behaviour(end="reset", end_after=0),
    "hang": Behaviour(hang="before_head"),
    "hang-first-token": Behaviour(hang="before_first_token"),
    "hang-between-tokens": Behaviour(hang="between_tokens"),
    "slow-first-token": Behaviour(wait_first_s=SLOW_S),
    "slow-between-tokens": Behaviour(wait_piece_s=0.2),
    "html": Behaviour(body=_HTML, content_type="text/html; charset=utf-8"),
    "html-as-events": Behaviour(body=_HTML, content_type="text/event-stream"),
    "text": Behaviour(body=b"OK", content_type="text/plain"),
    "empty": Behaviour(body=b""),
    "empty-events": Behaviour(body=b"", content_type="text/event-stream"),
    "null": Behaviour(body=b"null"),
    "list": Behaviour(body=b"[]"),
    "no-choices": Behaviour(body=b'{"id": "1", "object": "chat.completion", "model": "m"}'),
    "half-body": Behaviour(body=b'{"choices": [{"message": {"content": "one tw'),
    "null-content": Behaviour(has_content=False, counts_usage=False),
    "wrong-type": Behaviour(content_type="application/octet-stream"),
    "cut-before": Behaviour(end="cut", end_after=0),
    "unfinished-before": Behaviour(end="unfinished", end_after=0),
    "half-json-before": Behaviour(end="half_json", end_after=0),
    "error-before": Behaviour(end="error", end_after=0),
    "cut-after": _break_after("cut"),
    "reset-after": _break_after("reset"),
    "unfinished-after": _break_after("unfinished"),
    "half-json-after": _break_after("half_json"),
    "error-after": _break_after("error"),
    "done-at-once": Behaviour(end="done", end_after=0),
    "endless-line": Behaviour(end="endless_line", end_after=0),
    "closes": Behaviour(keeps_connection=False),
}
