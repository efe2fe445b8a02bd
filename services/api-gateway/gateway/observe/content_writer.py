"""Mask prompts and answers and write them to their file: ``python -m gateway.observe.content_writer``.

A process of its own beside a worker, so that masks hold up no answer, and so that the time of an operator's pattern can
be bounded: Python's expressions hold the whole process for as long as they try. Reads frames from stdin, says what
became of each in a line of stdout, and ends with its stdin. Keys reach it as its first frame, in no environment.

A frame is a line of JSON that names the bytes of the parts which follow it.
"""

from __future__ import annotations

import signal
import sys
import time
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from types import FrameType
from typing import Any, BinaryIO

import orjson

from gateway.observe.answered import cut_edge, read_answer, shorten
from gateway.observe.content_file import ContentFile
from gateway.observe.crashes import guard_crashes
from gateway.observe.logs import configure_logging
from gateway.observe.masks import Masks

WRITTEN, WITHHELD = "written", "withheld"
# Usual requests take milliseconds; one of a megabyte a fraction of a second.
_MASK_S = 5.0
_WITHHELD_TEXT = f"[withheld: masking it took longer than {_MASK_S:g} s]"


@dataclass(frozen=True, slots=True)
class _Late(Exception):
    """The time for masking is over."""


def main() -> None:
    """Write each frame of stdin until its end."""
    configure_logging()
    guard_crashes()
    # Who ends the gateway ends its stdin; what it still has to say comes before.
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    signal.signal(signal.SIGALRM, _stop_masking)
    source = sys.stdin.buffer
    frame = _read_frame(source)
    if frame is None:
        return
    setup = frame[0]
    masks = Masks(setup["masks"], setup["secrets"])
    file = ContentFile(Path(setup["folder"]), setup["keep_days"], setup["keep_mb"])
    while (frame := _read_frame(source)) is not None:
        print(_write(frame[0], frame[1], masks, file), flush=True)


def _read_frame(source: BinaryIO) -> tuple[dict[str, Any], list[bytes]] | None:
    line = source.readline()
    if not line.endswith(b"\n"):
        return None
    head = orjson.loads(line)
    parts = [source.read(size) for size in head.pop("parts", ())]
    return head, parts


def _write(facts: dict[str, Any], parts: list[bytes], masks: Masks, file: ContentFile) -> str:
    said, result = _mask(parts, masks)
    now = time.time()
    moment = datetime.fromtimestamp(now).astimezone().isoformat(timespec="milliseconds")
    line = orjson.dumps({"time": moment, **facts, **said}) + b"\n"
    try:
        file.append(line, now)
    except OSError as error:
        return f"lost: {error.strerror}"
    return result


def _mask(parts: list[bytes], masks: Masks) -> tuple[dict[str, Any], str]:
    """The content with what is hidden, or a word in its place: never more than was looked at in time."""
    names = ("asked", "answered")
    signal.setitimer(signal.ITIMER_REAL, _MASK_S)
    try:
        said = {name: _mask_part(part, masks) for name, part in zip(names, parts, strict=True)}
        signal.setitimer(signal.ITIMER_REAL, 0)
    except (_Late, RecursionError):
        with suppress(_Late):
            signal.setitimer(signal.ITIMER_REAL, 0)
        return dict.fromkeys(names, _WITHHELD_TEXT), WITHHELD
    return said, WRITTEN


def _mask_part(part: bytes, masks: Masks) -> Any:
    return _cut(masks.hide_in(shorten(read_answer(part))))


def _cut(value: Any) -> Any:
    if isinstance(value, str):
        return cut_edge(value)
    if isinstance(value, dict):
        return {name: _cut(item) for name, item in value.items()}
    return [_cut(item) for item in value] if isinstance(value, list) else value


def _stop_masking(number: int, frame: FrameType | None) -> None:
    raise _Late


if __name__ == "__main__":
    main()
