"""The kept answers of one worker: found, kept, counted. Does I/O: the file, in two threads of its own; the log.

Nothing here ever fails a request. That nothing is kept for it is known from memory, as a rule: to wake a thread takes
longer than to look into the file. Reading has its own thread, so that no write delays it, and a bound in time; what is
to be kept waits in memory, up to a bound, for a thread that writes. Where the file cannot be used, requests go on
without a cache; the log says so once, and /health as long as it lasts.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Awaitable, Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple, TypeVar

from gateway.cache.digest import DigestBuilder, hash_keyed, hash_plain
from gateway.cache.file import CacheFile
from gateway.cache.outage import Outage
from gateway.cache.presence import Presence
from gateway.cache.seal import Seal
from gateway.cache.values import CacheError, Entry
from gateway.catalog.values import Route
from gateway.formats.call import Call
from gateway.observe.metrics import CACHE_BYTES

_LOG = logging.getLogger("gateway.cache")

# A larger answer is not kept; a thousand vectors are larger.
MAX_ANSWER_BYTES = 4 * 1024 * 1024
# Of what waits to be written, by each worker.
_MAX_WAITING_BYTES = 32 * 1024 * 1024
# A look into the file takes a fraction of a millisecond; a request never waits longer than this for a disk.
_FIND_S = 0.25
# The digest of a larger request is made in a thread.
_SMALL_BYTES = 64 * 1024
# When answers were used is noted together, and what is too old is looked for as often.
_NOTE_EVERY_S = 5.0
# New answers wait this long for others: a transaction for each would take as long as answering it.
_GATHER_S = 0.1

T = TypeVar("T")


class Plan(NamedTuple):
    """What every worker is to open.

    Attributes:
        path: of the file; None where it cannot be used, for the ``reason``.
        code: what tells this gateway's program from another version's.
        presence: what may be in the file, for all workers.
        seal: encrypts what is kept; None leaves it as it is.
        secrets: what is known of the keys of the environment, by their callers' names.
    """

    path: Path | None
    reason: str
    limit_bytes: int
    code: str
    presence: Presence
    seal: Seal | None = None
    secrets: Mapping[str, str] = MappingProxyType({})


class Found(NamedTuple):
    """What was found for a request.

    Attributes:
        result: ``hit``, ``miss``, or ``unavailable`` where the file cannot be used.
        digest: by which its answer may be kept; empty where it may not.
        age_s: of the answer, in seconds.
    """

    result: str
    digest: bytes = b""
    entry: Entry | None = None
    age_s: int = 0


class Cache:
    """The kept answers, as one worker uses them; made in its event loop."""

    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        self._seal = plan.seal
        hash_ = hash_keyed(plan.seal.digest_key) if plan.seal else hash_plain
        self._digests = DigestBuilder(plan.code, hash_, plan.secrets)
        self._reading, self._writing = Outage("kept answers cannot be read"), Outage("answers cannot be kept")
        path = plan.path or Path()
        self._reader, self._writer = (CacheFile(path, plan.limit_bytes) for _ in range(2))
        self._read_thread = ThreadPoolExecutor(1, thread_name_prefix="cache-read")
        self._write_thread = ThreadPoolExecutor(1, thread_name_prefix="cache-write")
        self._waiting: list[Entry] = []
        self._waiting_bytes = 0
        self._used: dict[bytes, float] = {}
        self._wake = asyncio.Event()
        self._closing = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    async def open(self) -> None:
        """Open the file now, so that it stays ours where its folder is moved."""
        if self._plan.path:
            self._task = asyncio.create_task(self._write_until_closed())
            await self._try(self._reading, self._run(self._read_thread, self._reader.measure))

    async def find(self, call: Call, route: Route, max_age_s: float) -> Found:
        """Look for the answer of an equal request, of at most this age; never takes long, and never fails.

        Args:
            max_age_s: 0 looks for none.
        """
        if self._plan.path is None or not self._reading.allows():
            return Found("unavailable")
        digest = None
        if call.size_bytes <= _SMALL_BYTES:
            digest = self._digests.build(call, route)
            if digest is None or not (max_age_s and self._plan.presence.may_have(digest)):
                return Found("miss", digest or b"")
        found: Found | None = await self._try(self._reading, self._look(call, route, max_age_s, digest))
        if found and found.entry:
            self._used[found.digest] = time.time()
        return found or Found("unavailable")

    def keep(self, entry: Entry) -> None:
        """Have an answer kept; never waits, and never fails."""
        size = len(entry.answer)
        if not self._writing.allows() or self._waiting_bytes + size > _MAX_WAITING_BYTES:
            return
        self._waiting.append(entry)
        self._waiting_bytes += size
        self._wake.set()

    def describe(self) -> dict[str, Any]:
        """How the cache is, for /health."""
        reason = self._plan.reason or self._reading.reason or self._writing.reason
        return {"status": "unavailable", "reason": reason} if reason else {"status": "ok"}

    async def close(self) -> None:
        """Write what waits, and close the file."""
        self._closing.set()
        self._wake.set()
        if self._task:
            await self._task
        for thread, file in ((self._read_thread, self._reader), (self._write_thread, self._writer)):
            await self._run(thread, file.close)
            thread.shutdown()

    async def _look(self, call: Call, route: Route, max_age_s: float, digest: bytes | None) -> Found:
        async with asyncio.timeout(_FIND_S):
            return await self._run(self._read_thread, self._find_here, call, route, max_age_s, digest)

    def _find_here(self, call: Call, route: Route, max_age_s: float, digest: bytes | None) -> Found:
        digest = digest or self._digests.build(call, route)
        if digest is None:
            return Found("miss")
        entry = self._reader.find(digest) if max_age_s else None
        age_s = time.time() - entry.stored_at if entry else 0.0
        # A clock that was set back makes no answer younger.
        if entry is None or not -1.0 <= age_s <= max_age_s or (entry := self._open(entry)) is None:
            return Found("miss", digest)
        return Found("hit", digest, entry, max(0, int(age_s)))

    def _open(self, entry: Entry) -> Entry | None:
        if self._seal is None:
            return entry
        answer = self._seal.open(entry.answer, entry.about)
        return None if answer is None else entry._replace(answer=answer)

    async def _write_until_closed(self) -> None:
        while not self._closing.is_set():
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._wake.wait(), _NOTE_EVERY_S)
                await asyncio.wait_for(self._closing.wait(), _GATHER_S)
            self._wake.clear()
            await self._write()
        await self._write()

    async def _write(self) -> None:
        entries, self._waiting, self._waiting_bytes = self._waiting, [], 0
        used, self._used = self._used, {}
        if not self._writing.allows():
            return
        taken = await self._try(self._writing, self._run(self._write_thread, self._write_here, entries, used))
        if taken is not None:
            CACHE_BYTES.set(taken)

    def _write_here(self, entries: list[Entry], used: dict[bytes, float]) -> int:
        """Returns the bytes that kept answers take."""
        if seal := self._seal:
            entries = [entry._replace(answer=seal.close(entry.answer, entry.about)) for entry in entries]
        self._writer.put(entries, used, time.time())
        presence = self._plan.presence
        if presence.is_full:
            presence.fill(self._writer.list_digests())
        else:
            presence.add(entry.digest for entry in entries)
        return self._writer.count_bytes()

    async def _try(self, outage: Outage, work: Awaitable[T]) -> T | None:
        """What the work gives; None where it fails, which the log is told of once."""
        try:
            result = await work
        except CacheError as error:
            outage.begin(str(error), is_final=error.is_broken)
        except TimeoutError:
            outage.begin("the disk does not answer in time")
        except Exception as error:  # a fault of ours must not be one of the request
            _LOG.error("the cache failed", exc_info=error)
            outage.begin(type(error).__name__)
        else:
            outage.end()
            return result
        return None

    def _run(self, thread: ThreadPoolExecutor, job: Callable[..., T], *arguments: Any) -> Awaitable[T]:
        return asyncio.get_running_loop().run_in_executor(thread, job, *arguments)


def build_entry(
    found: Found, route: Route, key: str, answer: bytes, is_stream: bool, target: str, warning: str, now: float
) -> Entry:
    """What is kept of an answer; ``key`` is the name of who asked."""
    assert route.cache is not None
    is_local = any(item.provider.is_local for item in route.targets if item.name == target)
    ends_at = now + route.cache.max_age_s
    return Entry(found.digest, route.name, key, target, warning, is_stream, is_local, now, ends_at, answer)
