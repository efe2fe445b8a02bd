"""The live picture: what the gateway does now, by engine, model, key and target. Pure.

In: two scrapes of ``/metrics`` and what ``/health`` says. Out: a ``Picture``, whose figures a terminal and a page show.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from stackctl.core.live.exposition import Scrape
from stackctl.core.live.increase import Window

_SHARES = (0.5, 0.95)
# Requests of no model are those for lists, pages and probes.
_NO_MODEL = ""


@dataclass(frozen=True, slots=True)
class Speed:
    """How much passes, and how fast it begins; None where nothing began in the window.

    Attributes:
        first_token_p50_s, first_token_p95_s: seconds from a request to the first content of its answer.
    """

    requests_per_s: float = 0.0
    prompt_tokens_per_s: float = 0.0
    tokens_per_s: float = 0.0
    first_token_p50_s: float | None = None
    first_token_p95_s: float | None = None


@dataclass(frozen=True, slots=True)
class EngineLoad:
    """How busy one engine is.

    Attributes:
        wait_p95_s: seconds in its queue of the requests that left it in the window; None for none.
    """

    name: str
    slots: int
    leased: int
    waiting: int
    wait_p95_s: float | None


@dataclass(frozen=True, slots=True)
class ModelLoad:
    """What one served model does; ``failed`` counts its answers of the window that are errors."""

    name: str
    speed: Speed
    failed: int
    fallbacks: int


@dataclass(frozen=True, slots=True)
class LimitUse:
    """How much of one limit is taken; ``kind`` is requests, tokens, parallel or budget."""

    kind: str
    limit: int
    used: int

    @property
    def share(self) -> float:
        """From 0 up; 1 is all of it."""
        return self.used / self.limit if self.limit else 0.0


@dataclass(frozen=True, slots=True)
class KeyLoad:
    """What one key does; ``refused`` counts its requests of the window that were not answered."""

    name: str
    requests_per_s: float
    tokens_per_s: float
    refused: int
    limits: tuple[LimitUse, ...]

    @property
    def nearest(self) -> LimitUse | None:
        """The limit of which most is taken; None where the key has none."""
        return max(self.limits, key=lambda limit: limit.share, default=None)


@dataclass(frozen=True, slots=True)
class TargetState:
    """How one target fares; ``failed_tries`` are those of the window."""

    name: str
    provider: str
    state: str
    last_error: str
    failed_tries: int


@dataclass(frozen=True, slots=True)
class Picture:
    """Everything at once; rows that did most come first.

    Attributes:
        window_s: seconds between the two looks.
        in_progress: requests that are being answered.
        errors: number of requests of the window by the code of their error.
        records_waiting, records_lost: records of usage that could not be written yet, and those given up since the
            gateway started.
        disk_free_bytes, disk_size_bytes: of the gateway's state; None where it keeps none.
    """

    window_s: float
    speed: Speed
    in_progress: int
    errors: Mapping[str, int]
    engines: tuple[EngineLoad, ...]
    models: tuple[ModelLoad, ...]
    keys: tuple[KeyLoad, ...]
    targets: tuple[TargetState, ...]
    records_waiting: int = 0
    records_lost: int = 0
    disk_free_bytes: int | None = None
    disk_size_bytes: int | None = None


def build_picture(before: Scrape, after: Scrape, health: Mapping[str, Any]) -> Picture:
    """Join two scrapes, the newer one second, with the answer of ``/health``."""
    window = Window(before, after)
    free, size = (_find(after, f"gateway_state_disk_{what}_bytes") for what in ("free", "size"))
    errors = window.sum_increase("gateway_key_requests_total", "outcome")
    return Picture(
        window_s=window.seconds,
        speed=_build_speed(window),
        # Without the look itself.
        in_progress=max(round(_find(after, "gateway_requests_in_progress") or 0) - 1, 0),
        errors={code: round(count) for code, count in sorted(errors.items()) if code != "ok" and round(count)},
        engines=_list_engines(window),
        models=_list_models(window),
        keys=_list_keys(window),
        targets=_list_targets(window, health),
        records_waiting=round(_find(after, "gateway_usage_records_waiting") or 0),
        records_lost=round(_find(after, "gateway_usage_records_lost_total") or 0),
        disk_free_bytes=None if free is None else round(free),
        disk_size_bytes=None if size is None else round(size),
    )


def _find(scrape: Scrape, name: str) -> float | None:
    return next((value for _, value in scrape.read(name)), None)


def _build_speed(window: Window) -> Speed:
    """The speed of all models together."""
    requests = window.sum_increase("gateway_requests_total", "model")
    prompt, completion = (window.sum_increase("gateway_tokens_total", kind=kind) for kind in ("prompt", "completion"))
    first = window.find_quantiles("gateway_time_to_first_token_seconds", shares=_SHARES).get("", (None, None))
    count = sum(number for model, number in requests.items() if model != _NO_MODEL)
    return Speed(
        count / window.seconds, prompt.get("", 0) / window.seconds, completion.get("", 0) / window.seconds, *first
    )


def _list_engines(window: Window) -> tuple[EngineLoad, ...]:
    waits = window.find_quantiles("gateway_queue_seconds", "provider", shares=(0.95,))
    counts = {
        name: {labels.get("provider", ""): round(value) for labels, value in window.after.read(name)}
        for name in ("gateway_slots", "gateway_slots_leased", "gateway_requests_waiting")
    }
    slots, leased, waiting = counts.values()
    return tuple(
        EngineLoad(name, slots[name], leased.get(name, 0), waiting.get(name, 0), waits.get(name, (None,))[0])
        for name in sorted(slots)
    )


def _list_models(window: Window) -> tuple[ModelLoad, ...]:
    requests = window.sum_increase("gateway_requests_total", "model")
    fine = window.sum_increase("gateway_requests_total", "model", status="200")
    tokens = [window.sum_increase("gateway_tokens_total", "model", kind=kind) for kind in ("prompt", "completion")]
    first = window.find_quantiles("gateway_time_to_first_token_seconds", "model", shares=_SHARES)
    fallbacks = window.sum_increase("gateway_fallbacks_total", "model")
    models = [
        ModelLoad(
            name,
            Speed(
                count / window.seconds,
                *(kind.get(name, 0) / window.seconds for kind in tokens),
                *first.get(name, (None, None)),
            ),
            round(count - fine.get(name, 0)),
            round(fallbacks.get(name, 0)),
        )
        for name, count in requests.items()
        if name != _NO_MODEL
    ]
    return tuple(sorted(models, key=lambda item: (-item.speed.requests_per_s, item.name)))


def _list_keys(window: Window) -> tuple[KeyLoad, ...]:
    requests = window.sum_increase("gateway_key_requests_total", "key")
    fine = window.sum_increase("gateway_key_requests_total", "key", outcome="ok")
    tokens = window.sum_increase("gateway_key_tokens_total", "key")
    limits: dict[str, list[LimitUse]] = {}
    used = {(labels.get("key", ""), labels.get("kind", "")): value
            for labels, value in window.after.read("gateway_key_limit_used")}  # fmt: skip
    for labels, limit in window.after.read("gateway_key_limit"):
        name, kind = labels.get("key", ""), labels.get("kind", "")
        limits.setdefault(name, []).append(LimitUse(kind, round(limit), round(used.get((name, kind), 0))))
    keys = [
        KeyLoad(
            name,
            requests.get(name, 0) / window.seconds,
            tokens.get(name, 0) / window.seconds,
            round(requests.get(name, 0) - fine.get(name, 0)),
            tuple(limits.get(name, ())),
        )
        for name in {*requests, *limits}
    ]
    return tuple(sorted(keys, key=lambda item: (-item.tokens_per_s, -item.requests_per_s, item.name)))


def _list_targets(window: Window, health: Mapping[str, Any]) -> tuple[TargetState, ...]:
    tries = window.sum_increase("gateway_failed_tries_total", "target")
    left_out = {labels.get("target") for labels, value in window.after.read("gateway_target_available") if not value}
    found = [item for item in health.get("targets") or () if isinstance(item, Mapping)]
    return tuple(
        TargetState(
            name=(name := str(item.get("model", ""))),
            provider=str(item.get("provider", "")),
            # Each worker has its own view; the gauge is that of the one that asked last.
            state="left out" if name in left_out else str(item.get("state", "unknown")),
            last_error=str(item.get("last_error") or ""),
            failed_tries=round(tries.get(name, 0)),
        )
        for item in found
    )
