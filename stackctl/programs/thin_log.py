"""Pass on an engine's log without the lines that it writes for every request: ``thin_log.py < LOG > THINNED``.

The launcher runs this file by path, with the standard library only, between an engine and its log file. llama.cpp says
where its model is at a verbosity at which each request writes 50 to 400 lines more; what is passed on is everything
until the engine listens, then its warnings and errors, what it says of itself, and two lines a request: how fast the
prompt was read and how fast the answer was written. What it does not recognise is passed on. It ends with the engine.

Source: docs/decisions/engine-logs.md for what is left out and the figures.
"""

from __future__ import annotations

import re
import signal
import sys
from collections.abc import Iterable, Iterator

READY = b": listening on "
# What a request makes the slots and the server say at the level of information, after the time since the start.
CHATTER = re.compile(rb"[\d.]+ I (?:slot|srv) ")
LOADS = re.compile(rb"[\d.]+ I srv +\w+: loading model")
KEPT = re.compile(
    rb"print_timing: .*\b(?:prompt )?eval time =|(?i:exit|fail|error|cancel|abort|assert|sleep|unload)|what\(\)"
)


def main() -> None:
    """Read to the end of the log; signals are for the engine to hear."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    output = sys.stdout.buffer
    try:
        for line in thin(sys.stdin.buffer):
            output.write(line)
            output.flush()
    except BrokenPipeError:  # nobody writes the log any more
        sys.stderr.close()


def thin(lines: Iterable[bytes]) -> Iterator[bytes]:
    """The lines worth keeping, as they come."""
    is_ready = is_dropping = False
    for line in lines:
        if is_ready and CHATTER.match(line) and not LOADS.match(line):
            is_dropping = not KEPT.search(line)
        elif not is_dropping or not line[:1].isspace() or KEPT.search(line):  # what continues a line is indented
            is_dropping = False
            is_ready = READY in line if not is_ready else not LOADS.match(line)
        if not is_dropping:
            yield line


if __name__ == "__main__":
    main()
