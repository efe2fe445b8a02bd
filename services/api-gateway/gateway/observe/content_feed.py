"""Hand prompts and answers to the process that masks and writes them. Does I/O: that process, its pipes, the log.

It is started with the first frame and ends when there was none for a while. A request is never held up: where the
process is behind, frames are left out and the log says how many.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import orjson

import gateway
from gateway.observe.logs import note

_LOG = logging.getLogger("gateway.content")

_PROGRAM = "gateway.observe.content_writer"
# What the process is given of this one's variables: none that may hold a key.
_PASSED = ("PATH", "LANG", "LC_ALL", "TZ", "HOME", "TMPDIR", "LD_LIBRARY_PATH")
_MOST_WAITING = 64
# The process bounds its own time for masks; this is for a disk that does not answer.
_ANSWER_S = 20.0
_IDLE_S = 30.0
_CLOSE_S = 5.0

Frame = tuple[Mapping[str, Any], tuple[bytes, ...]]


class ContentFeed:
    """The way to the process.

    Args:
        setup: its first frame: where to write, and what to hide.
    """

    def __init__(self, setup: Mapping[str, Any]) -> None:
        self._setup = setup
        self._waiting: asyncio.Queue[Frame | None] = asyncio.Queue(_MOST_WAITING)
        self._process: asyncio.subprocess.Process | None = None
        self._task: asyncio.Task[None] | None = None
        self._left_out = 0

    def offer(self, facts: Mapping[str, Any], parts: tuple[bytes, ...]) -> None:
        """Have a frame written, or left out where too many wait."""
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self._run())
        try:
            self._waiting.put_nowait((facts, parts))
        except asyncio.QueueFull:
            if not self._left_out:
                _LOG.warning("content is left out of its file: more is said than can be masked and written")
            self._left_out += 1

    async def close(self) -> None:
        """Write what waits, as far as a few seconds go, and end the process."""
        if self._task is None:
            return
        with contextlib.suppress(asyncio.TimeoutError, asyncio.QueueFull):
            self._waiting.put_nowait(None)
            await asyncio.wait_for(asyncio.shield(self._task), _CLOSE_S)
        self._task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await self._task
        await self._end()

    async def _run(self) -> None:
        while True:
            try:
                frame = await asyncio.wait_for(self._waiting.get(), _IDLE_S)
            except TimeoutError:
                await self._end()
                continue
            if frame is None:
                return
            try:
                result = await asyncio.wait_for(self._hand_over(frame), _ANSWER_S)
            except (TimeoutError, OSError) as error:
                await self._end(kill=True)
                result = f"lost: {type(error).__name__}"
            self._tell(frame, result)

    def _tell(self, frame: Frame, result: str) -> None:
        if result != "written":
            note(_LOG, logging.WARNING, "content not written", {"request": frame[0].get("request"), "result": result})
        if self._left_out and self._waiting.empty():
            note(_LOG, logging.WARNING, "content was left out", {"requests": self._left_out})
            self._left_out = 0

    async def _hand_over(self, frame: Frame) -> str:
        process = self._process or await self._start()
        assert process.stdin is not None
        assert process.stdout is not None
        if process.stdin.is_closing():  # it is dead, and uvloop refuses to write
            raise ConnectionError
        facts, parts = frame
        process.stdin.write(orjson.dumps({**facts, "parts": [len(part) for part in parts]}) + b"\n")
        process.stdin.writelines(parts)
        await process.stdin.drain()
        answer = await process.stdout.readline()
        if not answer:
            raise ConnectionError
        return answer.decode().strip()

    async def _start(self) -> asyncio.subprocess.Process:
        environment = {name: os.environ[name] for name in _PASSED if name in os.environ}
        environment["PYTHONPATH"] = str(Path(gateway.__file__).parents[1])
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", _PROGRAM, env=environment,
            stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE,
        )  # fmt: skip
        assert process.stdin is not None
        process.stdin.write(orjson.dumps(self._setup) + b"\n")
        self._process = process
        return process

    async def _end(self, kill: bool = False) -> None:
        process, self._process = self._process, None
        if process is None:
            return
        assert process.stdin is not None
        process.stdin.close()
        with contextlib.suppress(ProcessLookupError):
            if kill:
                process.kill()
            try:
                await asyncio.wait_for(process.wait(), _CLOSE_S)
            except TimeoutError:
                process.kill()
                await process.wait()
