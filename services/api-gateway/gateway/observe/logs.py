"""The gateway's log on stderr: one JSON object a line, of metadata only, never of prompts, answers or keys.

In: records of Python's logging. Does I/O: configures the process's loggers. LiteLLM and the libraries below it put
request content into messages, tracebacks and exception texts, so of their records only what cannot hold any is
written: logger, level, place in the code, and the types of the exceptions.

Every line has ``time`` (with its zone), ``level``, ``logger``, and either ``message``, a sentence, or ``event``, a word
with the facts that ``note`` was given. ``exception`` lists types and places.
"""

from __future__ import annotations

import logging
import sys
import traceback
from collections.abc import Mapping
from datetime import datetime
from functools import lru_cache
from types import TracebackType
from typing import Any

import orjson

_OWN_LOGGERS = ("gateway", "uvicorn")
_MAX_CHAIN = 10
ExceptionInfo = tuple[type[BaseException], BaseException, TracebackType | None] | tuple[None, None, None]


def note(
    logger: logging.Logger, level: int, event: str, facts: Mapping[str, Any], error: BaseException | None = None
) -> None:
    """Log an event with its facts: names, numbers and codes, nothing that a client or a server wrote.

    Args:
        error: what happened, of which type and place are logged.
    """
    if not logger.isEnabledFor(level):
        return
    # Not by ``logger.log``: it looks for the place in the code, which an event does not tell, and that takes as long as
    # the rest.
    info = (type(error), error, error.__traceback__) if error else None
    logger.handle(logger.makeRecord(logger.name, level, "", 0, event, (), info, extra={"facts": facts}))


class ContentFreeFormatter(logging.Formatter):
    """Writes our own records whole, and of others only where they come from; of exceptions the type and the place."""

    def format(self, record: logging.LogRecord) -> str:
        """One log record as a line of JSON."""
        line: dict[str, Any] = {
            "time": _write_time(record.created),
            "level": record.levelname.lower(),
            "logger": record.name,
        }
        try:
            return orjson.dumps(line | _describe(record)).decode()
        except Exception:  # a record that cannot be written must not be written some other way
            return orjson.dumps(line | {"message": _withhold(record)}).decode()


def _write_time(created: float) -> str:
    second, milliseconds = divmod(int(created * 1000), 1000)
    time, zone = _write_second(second)
    return f"{time}.{milliseconds:03d}{zone}"


@lru_cache(maxsize=1)
def _write_second(second: int) -> tuple[str, str]:
    """Local time, as a person at the machine reads it, and the zone that makes it one moment everywhere."""
    time = datetime.fromtimestamp(second).astimezone()
    return time.strftime("%Y-%m-%dT%H:%M:%S"), time.isoformat()[19:]


def configure_logging(is_verbose: bool = False) -> None:
    """Send every logger's records, and warnings, to stderr through one formatter.

    Args:
        is_verbose: whether our own loggers say more; it opens neither prompts nor a library's records.
    """
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(ContentFreeFormatter())
    # What logging says of records that it cannot write is their message and arguments.
    logging.raiseExceptions = False
    # What no line tells is not looked up for each.
    logging.logThreads = logging.logProcesses = logging.logMultiprocessing = False
    logging.captureWarnings(True)  # pydantic's hold the values that they are about
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(logging.WARNING)
    for name in _OWN_LOGGERS:
        logging.getLogger(name).setLevel(logging.INFO)
    if is_verbose:
        logging.getLogger("gateway").setLevel(logging.DEBUG)
    # The gate writes the access log; uvicorn's shows whole paths.
    logging.getLogger("uvicorn.access").setLevel(logging.CRITICAL)


def _describe(record: logging.LogRecord) -> dict[str, Any]:
    if record.name.split(".")[0] not in _OWN_LOGGERS:
        described: dict[str, Any] = {"message": _withhold(record)}
    elif (facts := getattr(record, "facts", None)) is not None:
        described = {"event": record.msg, **facts}
    else:
        described = {"message": record.getMessage()}
    if record.exc_info:
        described["exception"] = _list_exceptions(record.exc_info[1])
    return described


def _withhold(record: logging.LogRecord) -> str:
    return f"message withheld, from {record.module}.{record.funcName}:{record.lineno}"


def _list_exceptions(error: BaseException | None) -> list[str]:
    """Types and places of the chain of exceptions, innermost call last."""
    found: list[str] = []
    while error is not None and len(found) < _MAX_CHAIN:
        frames = traceback.extract_tb(error.__traceback__, limit=-4)
        places = " > ".join(f"{frame.name}:{frame.lineno}" for frame in frames)
        found.append(f"{type(error).__module__}.{type(error).__qualname__} at {places or 'unknown'}")
        error = error.__cause__ or error.__context__
    return found
