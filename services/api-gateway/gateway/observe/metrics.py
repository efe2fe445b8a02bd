"""Counters of the gateway in Prometheus form, summed over all workers. I/O only with several workers.

With ``METRICS_FOLDER_VARIABLE`` set before this module is imported, the counters live in files of that folder, one
set a worker, and any worker answers for all of them.
"""

from __future__ import annotations

import os

from prometheus_client import CONTENT_TYPE_LATEST, REGISTRY, CollectorRegistry, Counter, Gauge, Histogram, multiprocess
from prometheus_client import generate_latest as _write

from gateway.settings import METRICS_FOLDER_VARIABLE

CONTENT_TYPE = CONTENT_TYPE_LATEST

# Seconds; from a cached answer of a tiny model to a long generation on a CPU.
_BUCKETS = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0, 600.0)

REQUESTS = Counter("gateway_requests", "Answered requests.", ("route", "model", "status"))
DURATION = Histogram("gateway_request_duration_seconds", "From request to last byte.", ("route", "model"),
                     buckets=_BUCKETS)  # fmt: skip
FIRST_BYTE = Histogram("gateway_time_to_first_byte_seconds", "From request to first byte of the answer.",
                       ("route", "model"), buckets=_BUCKETS)  # fmt: skip
IN_PROGRESS = Gauge("gateway_requests_in_progress", "Requests being answered.", multiprocess_mode="livesum")
TOKENS = Counter("gateway_tokens", "Tokens as the model's server counted them.", ("model", "kind"))


def count_tokens(model: str, prompt: int, completion: int) -> None:
    """Add the tokens of one answer."""
    TOKENS.labels(model, "prompt").inc(prompt)
    TOKENS.labels(model, "completion").inc(completion)


def render_metrics() -> bytes:
    """All counters as text in Prometheus' exposition format."""
    if not os.environ.get(METRICS_FOLDER_VARIABLE):
        return _write(REGISTRY)
    registry = CollectorRegistry()
    multiprocess.MultiProcessCollector(registry)  # type: ignore[no-untyped-call]
    return _write(registry)
