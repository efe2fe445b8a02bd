"""Logging to stderr without prompts, answers or keys, unless the operator asks for them.

In: ``log_prompts``. Does I/O: configures the process's loggers. LiteLLM and the libraries below it put request
content into messages, tracebacks and exception texts, so of their records only what cannot hold any is written:
logger, level, place in the code, and the types of the exceptions.
"""

from __future__ import annotations

import logging
import sys
import traceback
from types import TracebackType

# Prompts and answers go to this one, which is off unless the operator wants them.
PROMPTS_LOGGER = "gateway.prompts"

_OWN_LOGGERS = ("gateway", "uvicorn")
_FORMAT = "%(asctime)s %(levelname)s %(name)s: %(message)s"
ExceptionInfo = tuple[type[BaseException], BaseException, TracebackType | None] | tuple[None, None, None]


class ContentFreeFormatter(logging.Formatter):
    """Writes our own records whole, and of others only where they come from; of exceptions the type and the place."""

    def format(self, record: logging.LogRecord) -> str:
        """One log record as text."""
        is_own = record.name.split(".")[0] in _OWN_LOGGERS
        if is_own and not record.exc_info:
            return super().format(record)
        # A copy, because LiteLLM leaves its own text of the exception in the record, and others may still read it.
        safe = logging.makeLogRecord({**record.__dict__, "exc_text": None})
        if not is_own:
            safe.msg = "message withheld, from %s"
            safe.args = (f"{record.module}.{record.funcName}:{record.lineno}",)
        return super().format(safe)

    def formatException(self, ei: ExceptionInfo) -> str:  # logging's own name
        """Types and places of the chain of exceptions, innermost call last."""
        lines: list[str] = []
        error = ei[1]
        while error is not None and len(lines) < 10:
            frames = traceback.extract_tb(error.__traceback__)
            places = " > ".join(f"{frame.name}:{frame.lineno}" for frame in frames[-4:])
            lines.append(f"  {type(error).__module__}.{type(error).__qualname__} at {places or 'unknown'}")
            error = error.__cause__ or error.__context__
        return "\n".join(lines)


def configure_logging(log_prompts: bool, is_verbose: bool = False) -> None:
    """Send every logger's records to stderr through one formatter.

    Args:
        is_verbose: whether our own loggers say more; it opens neither prompts nor a library's records.
    """
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(logging.Formatter(_FORMAT) if log_prompts else ContentFreeFormatter(_FORMAT))
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(logging.WARNING)
    for name in _OWN_LOGGERS:
        logging.getLogger(name).setLevel(logging.INFO)
    if is_verbose:
        logging.getLogger("gateway").setLevel(logging.DEBUG)
    logging.getLogger(PROMPTS_LOGGER).disabled = not log_prompts
    # The gate writes the access log; uvicorn's shows whole paths.
    logging.getLogger("uvicorn.access").setLevel(logging.CRITICAL)
