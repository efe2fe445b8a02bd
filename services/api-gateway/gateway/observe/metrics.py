"""Counters of the gateway in Prometheus form, summed over all workers. I/O only with several workers.

With ``METRICS_FOLDER_VARIABLE`` set before this module is imported, the counters live in files of that folder, one
set a worker, and any worker answers for all of them. The values of a label are few: names of the configuration, words
of the code, and of keys the first ``MAX_KEYS`` that a worker sees.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from prometheus_client import CONTENT_TYPE_LATEST, REGISTRY, CollectorRegistry, Counter, Gauge, Histogram, multiprocess
from prometheus_client import generate_latest as _write
from prometheus_client.core import Metric
from prometheus_client.registry import Collector

from gateway.observe.present import MAX_NAMES, Present, build_registry
from gateway.observe.usage_rows import CACHE, Record, is_count
from gateway.settings import METRICS_FOLDER_VARIABLE

CONTENT_TYPE = CONTENT_TYPE_LATEST
# Keys that have series of their own; the others share one.
MAX_KEYS = MAX_NAMES
OTHER_KEYS = "(others)"

# Seconds; from a cached answer of a tiny model to a long generation on a CPU.
_BUCKETS = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0, 600.0)

REQUESTS = Counter("gateway_requests", "Answered requests.", ("route", "model", "status"))
DURATION = Histogram("gateway_request_duration_seconds", "From request to last byte.", ("route", "model"),
                     buckets=_BUCKETS)  # fmt: skip
FIRST_BYTE = Histogram("gateway_time_to_first_byte_seconds", "From request to first byte of the answer.",
                       ("route", "model"), buckets=_BUCKETS)  # fmt: skip
IN_PROGRESS = Gauge("gateway_requests_in_progress", "Requests being answered.", multiprocess_mode="livesum")
TOKENS = Counter("gateway_tokens", "Tokens as the model's server counted them.", ("model", "kind"))

# Seconds; a small model on a large GPU writes a token in 2 ms, a large one on a CPU in a second.
_TOKEN_BUCKETS = (0.002, 0.005, 0.01, 0.02, 0.03, 0.05, 0.075, 0.1, 0.2, 0.5, 1.0, 2.5)
FIRST_TOKEN = Histogram("gateway_time_to_first_token_seconds", "From request to first content of the answer.",
                        ("model", "provider"), buckets=_BUCKETS)  # fmt: skip
TOKEN = Histogram("gateway_time_per_token_seconds", "Mean time between the tokens of an answer, once for each answer.",
                  ("model", "provider"), buckets=_TOKEN_BUCKETS)  # fmt: skip
QUEUE = Histogram("gateway_queue_seconds", "Wait for a slot of an engine.", ("provider",), buckets=_BUCKETS)
FAILED_TRIES = Counter("gateway_failed_tries", "Times that a target was asked and failed.", ("target", "outcome"))
FALLBACKS = Counter("gateway_fallbacks", "Requests that not the first target of their route answered.",
                    ("model", "target"))  # fmt: skip
KEY_REQUESTS = Counter("gateway_key_requests", "Requests of each key; the outcome is ok or the error's code.",
                       ("key", "outcome"))  # fmt: skip
KEY_TOKENS = Counter("gateway_key_tokens", "Tokens of each key as the models' servers counted them.", ("key", "kind"))
# What the worker that tried it last says: each has its own view.
TARGET_AVAILABLE = Gauge("gateway_target_available", "Whether a target is asked, 1, or left out since it fails, 0.",
                         ("target",), multiprocess_mode="livemostrecent")  # fmt: skip
USAGE_WAITING = Gauge("gateway_usage_records_waiting", "Records of usage in memory that could not be written yet.",
                      multiprocess_mode="livesum")  # fmt: skip
USAGE_LOST = Counter("gateway_usage_records_lost", "Records of usage that were given up.")
CACHE_RESULTS = Counter("gateway_cache", "Requests to routes with a cache: hit, miss, skipped or unavailable.",
                        ("model", "result"))  # fmt: skip
CACHE_BYTES = Gauge("gateway_cache_bytes", "Bytes that kept answers take.", multiprocess_mode="mostrecent")
_keys: set[str] = set()


def count_request(record: Record) -> None:
    """Count a request that asked for a model and has ended."""
    key = _choose_label(record.key)
    KEY_REQUESTS.labels(key, record.outcome).inc()
    for target, outcome in record.tried:
        FAILED_TRIES.labels(target, outcome).inc()
    if record.provider in ("", CACHE):
        return
    QUEUE.labels(record.provider).observe(record.queue_s)
    completion = _count_for_key(record, key)
    if record.status != 200:
        return
    if record.target and any(target != record.target for target, _ in record.tried):
        FALLBACKS.labels(record.model, record.target).inc()
    if record.first_s is not None:
        FIRST_TOKEN.labels(record.model, record.provider).observe(record.first_s)
        if completion > 1:
            rest_s = max(record.duration_s - record.first_s, 0.0)
            TOKEN.labels(record.model, record.provider).observe(rest_s / (completion - 1))


def _count_for_key(record: Record, key: str) -> int:
    """Add the tokens of all tries to their key; returns the tokens of the answer that the client got."""
    completion = 0
    for usage in record.counted:
        prompt, completion = (_read_count(usage, name) for name in ("prompt_tokens", "completion_tokens"))
        KEY_TOKENS.labels(key, "prompt").inc(prompt)
        KEY_TOKENS.labels(key, "completion").inc(completion)
    return completion


def _read_count(usage: Mapping[str, Any], name: str) -> int:
    count: int = usage.get(name) or 0
    return count if is_count(count) else 0


def _choose_label(name: str) -> str:
    if name not in _keys:
        if len(_keys) >= MAX_KEYS:
            return OTHER_KEYS
        _keys.add(name)
    return name


def count_tokens(model: str, prompt: int, completion: int) -> None:
    """Add the tokens of one answer."""
    TOKENS.labels(model, "prompt").inc(prompt)
    TOKENS.labels(model, "completion").inc(completion)


def count_unwritten() -> tuple[int, int]:
    """Records of usage that wait to be written, and those that were given up, of all workers."""
    registry = _gather()
    names = ("gateway_usage_records_waiting", "gateway_usage_records_lost_total")
    waiting, lost = (int(registry.get_sample_value(name) or 0) for name in names)
    return waiting, lost


def render_metrics(present: Present) -> bytes:
    """All counters, and what is true now, as text in Prometheus' exposition format."""
    return _write(_gather()) + _write(build_registry(present))


def _gather() -> CollectorRegistry:
    """The counters of all workers."""
    if not os.environ.get(METRICS_FOLDER_VARIABLE):
        return REGISTRY
    registry = CollectorRegistry()
    registry.register(_Workers())
    return registry


class _Workers(Collector):
    """Collects from the files of all workers; one that a worker is just making is empty, which the library refuses."""

    def collect(self) -> Iterable[Metric]:
        """See ``Collector``."""
        folder = Path(os.environ[METRICS_FOLDER_VARIABLE])
        files = [str(path) for path in folder.glob("*.db") if _has_content(path)]
        return multiprocess.MultiProcessCollector.merge(files)  # type: ignore[no-any-return, no-untyped-call]


def _has_content(path: Path) -> bool:
    try:
        return path.stat().st_size > 0
    except FileNotFoundError:  # a worker has ended
        return False
