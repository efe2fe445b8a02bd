"""The gateway's table of outcomes as a drill tries it: how a provider fails, and what a client must see then. Pure.

The table of the gateway itself (outcomes.py there), written a second time on purpose: a drill compares what a
running gateway does with what was promised, and not with what its code says.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

from stackctl.core.drill.asks import STREAMED, ClientFormat
from stackctl.core.drill.refusals import STYLES

# What stands where the provider should be: the stand-in itself; a port that refuses; one that never answers; the
# stand-in with a certificate that nobody trusts; a name that does not resolve.
Server = Literal["stand-in", "refusing", "silent", "untrusted", "unnamed"]
ALL_FORMATS: tuple[ClientFormat, ...] = ("chat", "completions", "messages", "responses", "embeddings", "rerank")

# By which clients know to search without embeddings, whatever failed.
_NO_EMBEDDINGS = (503, "embeddings_unavailable")


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One way for a provider to fail.

    Attributes:
        name: unique; the stand-in's name of the fault where it is one.
        outcome: the line of the table that it belongs to.
        status, code: of the error that a client sees when nothing else answers; a status of 200 is an answer.
        is_retried: whether the same provider is asked again.
        falls_back: whether the next one is asked.
        has_begun: whether a client that streams has seen content by then: it sees an error event, and nothing is tried
            again.
        formats: formats that it can be seen in.
        whole_code: code where the provider is not asked for a stream; empty where it is the same.
        has_sure_tries: whether its provider can count its tries: a pooled connection that is closed when it is used
            again is no failure, and the request is sent once more.
        may_time_out: whether a time-out is right, too: a name server may not answer in time that there is no such name.
        has_numbers: whether the client is told the tokens of its prompt and of the context.
    """

    name: str
    outcome: str
    server: Server = "stand-in"
    status: int
    code: str
    is_retried: bool
    falls_back: bool
    has_begun: bool = False
    formats: tuple[ClientFormat, ...] = ALL_FORMATS
    whole_code: str = ""
    has_sure_tries: bool = True
    may_time_out: bool = False
    has_numbers: bool = False

    @property
    def is_time_out(self) -> bool:
        """Whether the provider is to be waited for until a time-out."""
        return self.code == "upstream_timeout"

    def list_errors(self, kind: ClientFormat) -> tuple[tuple[int, str], ...]:
        """Status and code of each error that is right for a request in this format, the usual one first."""
        if kind == "embeddings" and self.status >= 500:
            return (_NO_EMBEDDINGS,)
        usual = (self.status, self.whole_code if self.whole_code and kind not in STREAMED else self.code)
        return (usual, (504, "upstream_timeout")) if self.may_time_out else (usual,)

    def count_tries(self, retries: int, is_streamed: bool) -> int:
        """How often its provider is asked by a route with this many retries."""
        return 1 + retries if self.is_retried and not (self.has_begun and is_streamed) else 1


def _refuse_client(name: str, code: str = "invalid_request") -> Row:
    return Row(name=name, outcome="refuses the request", status=400, code=code, is_retried=False, falls_back=False)


def _refuse_key(name: str, code: str) -> Row:
    return Row(name=name, outcome="refuses the gateway", status=502, code=code, is_retried=False, falls_back=True)


def _fail(name: str, outcome: str = "fails", status: int = 503, code: str = "upstream_error") -> Row:
    return Row(name=name, outcome=outcome, status=status, code=code, is_retried=True, falls_back=True)


def _break(name: str) -> Row:
    return _fail(name, "sends a broken answer", code="upstream_broken_answer")


def _time_out(name: str) -> Row:
    return _fail(name, "does not answer in time", 504, "upstream_timeout")


def _list_statuses() -> list[Row]:
    rows = []
    for style in STYLES:
        rows += [_refuse_client(f"{status}-{style}") for status in (400, 413, 415, 422)]
        rows += [replace(_refuse_client(f"overflow-{style}", "context_length_exceeded"), has_numbers=True)]
        rows += [_refuse_key(f"{status}-{style}", "provider_refused_key") for status in (401, 403)]
        rows += [_refuse_key(f"404-{style}", "provider_lacks_model")]
        rows += [_fail(f"{status}-{style}") for status in (408, 500, 502, 503, 504, 529)]
        rows += [_fail(f"429-{style}", "wants fewer requests", 429, "provider_rate_limited")]
    return rows


def _list_unreachable() -> list[Row]:
    away = _fail("refused", "cannot be reached", code="upstream_unreachable")
    return [
        replace(away, server="refusing"),
        replace(away, name="reset", has_sure_tries=False),
        replace(away, name="unknown-name", server="unnamed", may_time_out=True),
        replace(_time_out("no-connection"), server="silent"),
        replace(
            _fail("wrong-certificate", "shows a wrong certificate", code="upstream_certificate"), server="untrusted"
        ),
    ]


def _list_broken() -> list[Row]:
    rows = [
        _break(name) for name in ("html", "empty", "null", "no-choices", "half-body", "null-content", "text", "list")
    ]
    rows += [_break(name) for name in ("html-as-events", "empty-events", "no-http")]
    # What is JSON of the right shape is an answer, whatever it calls itself; a stream has to say that it is one.
    rows += [replace(_break("wrong-type"), formats=STREAMED), _fail("302")]
    rows += [_break(name) for name in ("cut-before", "unfinished-before", "half-json-before")]
    rows += [replace(_break("done-at-once"), formats=STREAMED)]
    rows += [replace(_fail("error-before"), whole_code="upstream_broken_answer")]
    return rows


def _list_begun() -> list[Row]:
    """What breaks after content has come: a client that wants one whole answer gets the next one's."""
    rows = [
        _break("cut-after"),
        _break("reset-after"),
        _break("unfinished-after"),
        _break("half-json-after"),
        _fail("error-after"),
        _time_out("hang-between-tokens"),
    ]
    return [replace(row, has_begun=True, formats=STREAMED) for row in rows]


def _list_answered() -> list[Row]:
    answered = Row(name="ok", outcome="answers", status=200, code="", is_retried=False, falls_back=False)
    return [answered, replace(answered, name="closes"), replace(answered, name="slow-between-tokens")]


# A provider that asks to wait for longer than the deadline is not waited for.
_WAITS_TOO_LONG = replace(
    _fail("429-retry-never", "wants fewer requests", 429, "provider_rate_limited"), is_retried=False
)
ROWS: tuple[Row, ...] = (
    *_list_answered(),
    *_list_statuses(),
    _refuse_client("content-llama", "unsupported_content"),
    _fail("loading", "loads its model", code="model_loading"),
    _WAITS_TOO_LONG,
    _fail("429-retry-after", "wants fewer requests", 429, "provider_rate_limited"),
    _fail("503-retry-after"),
    *_list_unreachable(),
    *(_time_out(name) for name in ("hang", "hang-first-token", "slow-first-token")),
    *_list_broken(),
    *_list_begun(),
)
