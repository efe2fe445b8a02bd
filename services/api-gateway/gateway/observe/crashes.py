"""What is left of a crash: types and places in the log, and no core. Does I/O: the process's hooks and limits."""

from __future__ import annotations

import logging
import resource
import sys
import threading
from types import TracebackType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sys import UnraisableHookArgs

_LOG = logging.getLogger("gateway")
# Less than the smallest core, and the one value at which Linux leaves out programs that cores are piped to, as well:
# they are handed one whatever the limit (fs/coredump.c), also at 0.
_NO_CORE = 1


def guard_crashes() -> None:
    """Have exceptions that nothing catches logged without their texts, and the kernel write no core of this process.

    Python's own hooks write the text of an exception to stderr, and a core is the whole memory: both hold prompts.
    """
    sys.excepthook = _log_exception
    threading.excepthook = _log_of_thread
    sys.unraisablehook = _log_unraisable
    _, highest = resource.getrlimit(resource.RLIMIT_CORE)
    limit = 0 if highest == 0 else _NO_CORE
    resource.setrlimit(resource.RLIMIT_CORE, (limit, limit))


def _log_exception(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    _LOG.critical("an exception that nothing caught ends this process", exc_info=(kind, error, trace))


def _log_of_thread(arguments: threading.ExceptHookArgs) -> None:
    if arguments.exc_value is not None and not isinstance(arguments.exc_value, SystemExit):
        _LOG.error("an exception that nothing caught ended a thread", exc_info=arguments.exc_value)


def _log_unraisable(arguments: UnraisableHookArgs) -> None:
    if arguments.exc_value is not None:
        _LOG.error("an exception was raised where nothing can catch it", exc_info=arguments.exc_value)
