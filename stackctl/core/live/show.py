"""The live picture as lines and tables for a terminal. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from stackctl.core.live.picture import EngineLoad, KeyLoad, ModelLoad, Picture, TargetState
from stackctl.core.text.progress import write_size

# Rows of a table that one looks at; the rest is named by its number.
MOST_ROWS: Final = 12
# Below it a disk is nearly full.
_LOW_SHARE: Final = 0.1


@dataclass(frozen=True, slots=True)
class Section:
    """A table with its headers, and lines below it; either may be empty."""

    headers: Sequence[str] = ()
    rows: Sequence[Sequence[str]] = ()
    lines: Sequence[str] = ()


def show_picture(picture: Picture) -> Iterator[Section]:
    """The sections from top to bottom; one of which there is nothing to say is left out."""
    yield Section(lines=tuple(_describe(picture)))
    tables = (
        (("engine", "slots", "busy", "waiting", "wait p95"), [_show_engine(item) for item in picture.engines]),
        (
            ("model", "requests/s", "tokens/s", "first token p50", "p95", "failed", "fallbacks"),
            [_show_model(item) for item in picture.models],
        ),
        (("key", "requests/s", "tokens/s", "refused", "nearest limit"), [_show_key(item) for item in picture.keys]),
        (
            ("target", "provider", "state", "failed tries", "last error"),
            [_show_target(item) for item in picture.targets],
        ),
    )
    for headers, rows in tables:
        if rows:
            more = len(rows) - MOST_ROWS
            yield Section(headers, rows[:MOST_ROWS], (f"and {more} more",) if more > 0 else ())


def _describe(picture: Picture) -> Iterator[str]:
    speed = picture.speed
    yield (
        f"{picture.window_s:.1f} s: {_write_rate(speed.requests_per_s)} requests/s,"
        f" {_write_rate(speed.tokens_per_s)} tokens/s out, {_write_rate(speed.prompt_tokens_per_s)} in,"
        f" {picture.in_progress} in progress"
    )
    if speed.first_token_p50_s is not None:
        yield f"first token: p50 {_write_time(speed.first_token_p50_s)}, p95 {_write_time(speed.first_token_p95_s)}"
    if picture.errors:
        yield "errors: " + ", ".join(f"{code} {count}" for code, count in picture.errors.items())
    if picture.records_waiting or picture.records_lost:
        yield f"records of usage: {picture.records_waiting} wait to be written, {picture.records_lost} lost"
    free, size = picture.disk_free_bytes, picture.disk_size_bytes
    if free is not None and size and free < size * _LOW_SHARE:
        yield f"disk of the state: {write_size(free)} of {write_size(size)} free"


def _show_engine(engine: EngineLoad) -> tuple[str, ...]:
    counts = (engine.slots, engine.leased, engine.waiting)
    return (engine.name, *map(str, counts), _write_time(engine.wait_p95_s))


def _show_model(model: ModelLoad) -> tuple[str, ...]:
    speed = model.speed
    return (
        model.name,
        _write_rate(speed.requests_per_s),
        _write_rate(speed.tokens_per_s),
        _write_time(speed.first_token_p50_s),
        _write_time(speed.first_token_p95_s),
        str(model.failed),
        str(model.fallbacks),
    )


def _show_key(key: KeyLoad) -> tuple[str, ...]:
    nearest = key.nearest
    stands = f"{nearest.kind} {nearest.used:,} of {nearest.limit:,} ({nearest.share:.0%})" if nearest else "-"
    return key.name, _write_rate(key.requests_per_s), _write_rate(key.tokens_per_s), str(key.refused), stands


def _show_target(target: TargetState) -> tuple[str, ...]:
    return target.name, target.provider, target.state, str(target.failed_tries), target.last_error or "-"


def _write_rate(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 or value == 0 else f"{value:.1f}"


def _write_time(seconds: float | None) -> str:
    if seconds is None:
        return "-"
    return f"{seconds * 1000:.0f} ms" if seconds < 1 else f"{seconds:.1f} s"
