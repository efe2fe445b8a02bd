"""The service's log: one JSON object a line, of metadata only, never of messages, answers or keys.

In: records of Python's logging. Does I/O: stdout and, where one is named, a file. Libraries put what clients wrote into
their messages and exceptions, so of their records only what cannot hold any is written: logger, level, place in the
code, and the types of the exceptions.
"""

from __future__ import annotations

import logging
import logging.handlers
import os
import resource
import sys
import traceback
from collections.abc import Mapping
from datetime import datetime
from typing import Any

import orjson

_OWN = "chat_api"
_MAX_CHAIN = 10
_FILE_BYTES, _FILES = 10 * 1024 * 1024, 3


def note(
    logger: logging.Logger, level: int, event: str, facts: Mapping[str, Any], error: BaseException | None = None
) -> None:
    """Log an event with its facts: names, numbers and codes, nothing that a client or a server wrote.

    Args:
        error: what happened, of which type and place are logged.
    """
    logger.log(level, event, extra={"facts": facts}, exc_info=error)


class ContentFreeFormatter(logging.Formatter):
    """Writes our own records whole, and of others only where they come from."""

    def format(self, record: logging.LogRecord) -> str:
        """One record as a line of JSON."""
        time = datetime.fromtimestamp(record.created).astimezone().isoformat(timespec="milliseconds")
        line: dict[str, Any] = {"time": time, "level": record.levelname.lower(), "logger": record.name}
        try:
            return orjson.dumps(line | _describe(record)).decode()
        except Exception:  # a record that cannot be written must not be written some other way
            return orjson.dumps(line | {"message": _withhold(record)}).decode()


def configure_logging(level: str, file: str) -> None:
    """Send every logger's records, and warnings, to stdout, and to this file where one is named.

    Also has exceptions that nothing catches logged without their texts, and the kernel write no core of this process.

    Args:
        level: of our own loggers; those of libraries say warnings alone.

    Raises:
        OSError: the file cannot be written.
    """
    handlers: list[logging.Handler] = [logging.StreamHandler(sys.stdout)]
    if file:
        handlers.append(_open_file(file))
    for handler in handlers:
        handler.setFormatter(ContentFreeFormatter())
    logging.raiseExceptions = False  # what logging says of records that it cannot write are their arguments
    logging.captureWarnings(True)
    root = logging.getLogger()
    root.handlers[:] = handlers
    root.setLevel(logging.WARNING)
    logging.getLogger(_OWN).setLevel(level.upper())
    logging.getLogger("uvicorn.access").setLevel(logging.CRITICAL)
    sys.excepthook = _log_exception
    _, highest = resource.getrlimit(resource.RLIMIT_CORE)
    limit = 0 if highest == 0 else 1  # at which Linux leaves out programs that cores are piped to, as well
    resource.setrlimit(resource.RLIMIT_CORE, (limit, limit))


def _open_file(path: str) -> logging.Handler:
    os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600))
    return logging.handlers.RotatingFileHandler(path, maxBytes=_FILE_BYTES, backupCount=_FILES, encoding="utf-8")


def _log_exception(kind: type[BaseException], error: BaseException, trace: Any) -> None:
    logging.getLogger(_OWN).critical(
        "an exception that nothing caught ends this process", exc_info=(kind, error, trace)
    )


def _describe(record: logging.LogRecord) -> dict[str, Any]:
    if record.name.partition(".")[0] != _OWN:
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
