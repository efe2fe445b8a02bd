"""The log and the metrics: names, numbers and codes, never what was asked or answered, nor a key.

Does I/O: configures the process's loggers.
"""

from __future__ import annotations

import json
import logging
import sys
import traceback
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

_OWN = ("agents", "uvicorn")
_MAX_CHAIN = 10
LOGGER = logging.getLogger("agents")


def note(level: int, event: str, facts: Mapping[str, Any], error: BaseException | None = None) -> None:
    """Log an event with its facts, and of an error the type and the place."""
    LOGGER.log(level, event, extra={"facts": facts}, exc_info=error)


class JsonLines(logging.Formatter):
    """One JSON object a line. Of other libraries' records only where they come from: they may repeat content."""

    def format(self, record: logging.LogRecord) -> str:
        """One record."""
        time = datetime.fromtimestamp(record.created).astimezone().isoformat(timespec="milliseconds")
        line: dict[str, Any] = {"time": time, "level": record.levelname.lower(), "logger": record.name}
        facts = getattr(record, "facts", None)
        if record.name.split(".")[0] not in _OWN:
            line["message"] = f"message withheld, from {record.module}.{record.funcName}:{record.lineno}"
        elif facts is not None:
            line |= {"event": record.msg, **facts}
        else:
            line["message"] = record.getMessage()
        if record.exc_info and record.exc_info[1]:
            line["exception"] = list_exceptions(record.exc_info[1])
        return json.dumps(line, ensure_ascii=False, default=str)


def list_exceptions(error: BaseException | None) -> list[str]:
    """Types and places of a chain of exceptions; not their texts, which may hold content."""
    found: list[str] = []
    while error is not None and len(found) < _MAX_CHAIN:
        frames = traceback.extract_tb(error.__traceback__, limit=-4)
        places = " > ".join(f"{frame.name}:{frame.lineno}" for frame in frames)
        found.append(f"{type(error).__module__}.{type(error).__qualname__} at {places or 'unknown'}")
        error = error.__cause__ or error.__context__
    return found


def configure_logging(level: str, file: str) -> None:
    """Send every logger's records, and warnings, to stdout and to the file, if there is one.

    Raises:
        OSError: the file cannot be written.
    """
    handlers: list[logging.Handler] = [logging.StreamHandler(sys.stdout)]
    if file:
        handlers.append(logging.FileHandler(file, encoding="utf-8"))
    for handler in handlers:
        handler.setFormatter(JsonLines())
    logging.raiseExceptions = False
    logging.captureWarnings(True)
    root = logging.getLogger()
    root.handlers[:] = handlers
    root.setLevel(logging.WARNING)
    for name in _OWN:
        logging.getLogger(name).setLevel(level.upper())
    logging.getLogger("uvicorn.access").setLevel(logging.CRITICAL)


class Metrics:
    """What Prometheus reads."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        registry = self.registry
        self.calls = Counter("agents_calls", "Calls by agent and outcome.", ("agent", "outcome"), registry=registry)
        self.attempts = Counter("agents_attempts", "Questions to models.", ("agent",), registry=registry)
        self.tokens = Counter("agents_tokens", "Tokens of all attempts.", ("agent", "direction"), registry=registry)
        self.mended = Counter("agents_mended_answers", "Answers that were repaired.", ("agent",), registry=registry)
        self.under_way = Gauge("agents_calls_under_way", "Calls that are worked on.", registry=registry)
        self.seconds = Histogram(
            "agents_call_seconds",
            "Duration of calls.",
            ("agent",),
            buckets=(0.5, 1, 2, 5, 10, 20, 40, 80, 160, 320, 640),
            registry=registry,
        )
