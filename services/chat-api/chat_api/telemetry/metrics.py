"""What is counted, for Prometheus. Names that clients choose are in no label. Does no I/O."""

from __future__ import annotations

from collections.abc import Callable

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector, generate_latest

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300)


class Metrics:
    """The counters of one service."""

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        ProcessCollector(registry=self._registry)
        labels = ("route", "status")
        self.requests = Counter("chat_api_requests", "Requests that were answered.", labels, registry=self._registry)
        self.duration = Histogram(
            "chat_api_request_duration_seconds", "From a request to the end of its answer.", ("route",),
            buckets=_SECONDS, registry=self._registry,
        )  # fmt: skip
        self.problems = Counter(
            "chat_api_problems", "Requests that failed, by code.", ("code",), registry=self._registry
        )
        self.tokens = Counter(
            "chat_api_tokens", "Tokens of new answers, as the model's server counts them.", ("kind", "key_source"),
            registry=self._registry,
        )  # fmt: skip

    def watch(self, name: str, text: str, read: Callable[[], float]) -> None:
        """Show a figure that is read when somebody asks."""
        Gauge(name, text, registry=self._registry).set_function(read)

    def render(self) -> bytes:
        """Everything, as Prometheus reads it."""
        return generate_latest(self._registry)
