"""Write a bundle's content to the disk so that an interruption at any moment costs little and hides nothing.

Does I/O. Files have their final size from the beginning, and every content is written at its final offset. A thread
syncs what is written while more is written, then it is noted in a journal; at most ``MAX_UNSURE_BYTES`` are ever on
their way.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import stat
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

from stackctl.adapters.bundle.staged_check import find_wrong_contents, hash_range
from stackctl.adapters.bundle.staged_journal import Fresh, recover_journal
from stackctl.adapters.files.durable_files import (
    FILE_MODE,
    PROGRAM_MODE,
    ManyWriter,
    explain_writes,
    has_size,
    make_file,
    make_folder,
    set_mode,
    sync_data,
    sync_folder,
    write_at,
)
from stackctl.core.bundle.load.journal import DONE, DROP, PART, render_lines
from stackctl.core.bundle.load.plan import Output, Wanted
from stackctl.errors import BundleError

# Written and not yet confirmed by the disk: what a kill costs at most.
MAX_UNSURE_BYTES = 48 << 20
# Small enough that the disk begins early, large enough that it works in long ranges.
SYNC_BYTES = 16 << 20
PIECE_BYTES = 1 << 20
JOURNAL_NAME = "journal"


class Staging:
    """The folder of a bundle that is being loaded; several threads may write different contents at the same time.

    Attributes:
        journal: what this run and earlier ones have achieved.
    """

    def __init__(self, folder: Path) -> None:
        """Open a staging folder; makes it if it is not there."""
        self._folder = folder
        with explain_writes(folder):
            make_folder(folder)
            self._journal_file = os.open(folder / JOURNAL_NAME, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, FILE_MODE)
            sync_folder(folder)
            self.journal = recover_journal(self._journal_file)
        self._lock = threading.Lock()
        self._done, self._is_over = threading.Condition(self._lock), False
        self._fresh = Fresh()
        self._hashed: set[str] = set()
        self._syncs: deque[tuple[Future[None], int]] = deque()
        self._failure: OSError | None = None
        self._pool = ThreadPoolExecutor(1, "sync")

    def prepare(self, outputs: Sequence[Output], contents: Iterable[Wanted]) -> None:
        """Make the files; what the journal says of a file that has to be made again no longer counts."""
        missing = [item for item in outputs if not has_size(self._folder / item.path, item.size)]
        self.drop_lost(outputs, contents)
        # The journal first: a new file of the right size would look like one that was written.
        self.flush()
        with explain_writes(self._folder):
            for item in missing:
                make_file(self._folder / item.path, item.size, PROGRAM_MODE if item.is_program else FILE_MODE)
            for folder in {(self._folder / item.path).parent for item in missing}:
                sync_folder(folder)

    def is_done(self, content: Wanted) -> bool:
        """Whether all of a content is there, as far as the journal knows."""
        return content.key in self.journal.done

    def drop_lost(self, outputs: Sequence[Output], contents: Iterable[Wanted]) -> None:
        """Forget contents whose file is gone or was cut."""
        lost = {item.path for item in outputs if not has_size(self._folder / item.path, item.size)}
        for content in contents:
            if any(place.path in lost for place in content.places):
                self.forget(content)

    def find_wrong(self, contents: Sequence[Wanted], count: Callable[[int], None]) -> tuple[Wanted, ...]:
        """Hash finished contents again, at each of their places, and forget those whose bytes are not theirs.

        What this run has written itself was hashed on its way and is not read again.

        Args:
            count: called with the number of bytes read.

        Raises:
            BundleError: the disk fails.
        """
        stale = [content for content in contents if content.key not in self._hashed]
        with explain_writes(self._folder):
            wrong = find_wrong_contents(self._folder, stale, count)
        for content in wrong:
            self.forget(content)
        self._hashed |= {content.key for content in contents} - {content.key for content in wrong}
        return wrong

    def find_start(self, content: Wanted) -> int:
        """How many bytes of an unfinished content are there."""
        return min(self.journal.parts.get(content.key, 0), content.size)

    def write(self, content: Wanted, pieces: Iterable[bytes | memoryview], start: int = 0) -> None:
        """Write a content to all its places.

        Args:
            pieces: bytes of the content from ``start`` on; with ``start`` 0 whoever gives them checks their digest.

        Raises:
            BundleError: the disk is full or fails, or the bytes are wrong.
        """
        digest = self._hash_begin(content, start) if start else None
        offset, count = start, len(content.places)
        places = [(self._folder / place.path, place.offset + start) for place in content.places]
        with explain_writes(self._folder), ManyWriter(places) as writer:
            for piece in pieces:
                self._make_room(len(piece) * count)
                writer.write(piece)
                offset += len(piece)
                if digest:
                    digest.update(piece)
                self._add(content, offset, len(piece) * count)
        if offset != content.size or (digest and digest.hexdigest() != content.sha256):
            raise BundleError(f"Content {content.sha256} is not whole: {offset} of {content.size} bytes.", "try again")
        with self._lock:
            self._fresh.unfinished.pop(content.key, None)
            self._fresh.paths.update(place.path for place in content.places)
            self._fresh.lines.append(render_lines(DONE, [content.key]))
            self.journal.done.add(content.key)
            self._hashed.add(content.key)
            self._done.notify_all()

    def forget(self, content: Wanted) -> None:
        """Take back what was noted of a content, because its bytes are wrong."""
        with self._lock:
            self._fresh.unfinished.pop(content.key, None)
            self._fresh.lines.append(render_lines(DROP, [content.key]))
            self.journal.forget(content.key)
            self._hashed.discard(content.key)

    def flush(self) -> None:
        """Wait until the disk has confirmed everything.

        Raises:
            BundleError: the disk is full or fails.
        """
        with explain_writes(self._folder):
            with self._lock:
                self._order_sync()
            while self._syncs:
                self._wait()

    def save(self, path: str, data: bytes) -> None:
        """Write a small file."""
        with explain_writes(self._folder):
            target = self._folder / path
            make_folder(target.parent)
            descriptor = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, FILE_MODE)
            try:
                set_mode(descriptor, FILE_MODE)
                write_at(descriptor, data, 0)
                os.fsync(descriptor)
            finally:
                os.close(descriptor)
            sync_folder(target.parent)

    def link(self, source: Path, path: str) -> None:
        """Give a file of this disk another name here; it is copied where the file system has no links."""
        target = self._folder / path
        with explain_writes(self._folder):
            make_folder(target.parent)
            target.unlink(missing_ok=True)
            try:
                target.hardlink_to(source)
            except OSError:
                shutil.copyfile(source, target)
                set_mode(target, stat.S_IMODE(source.stat().st_mode))
                sync_data(target)
            sync_folder(target.parent)

    def read(self, path: str, offset: int, size: int) -> Iterator[bytes]:
        """Read so many bytes of a staged file, fewer where it ends."""
        with explain_writes(self._folder), (self._folder / path).open("rb", buffering=0) as file:
            file.seek(offset)
            while size and (piece := file.read(min(PIECE_BYTES, size))):
                size -= len(piece)
                yield piece

    def wait_done(self, content: Wanted) -> bool:
        """Wait until a content is written, or no thread writes any more; whether it is there."""
        with self._done:
            self._done.wait_for(lambda: self._is_over or content.key in self._hashed)
            return content.key in self.journal.done

    def stop_waiting(self) -> None:
        """Say that nothing more is written, so that no thread waits for it."""
        with self._done:
            self._is_over = True
            self._done.notify_all()

    def close(self) -> None:
        """Note what is done, as far as the disk allows, and let go of everything."""
        with suppress(BundleError):
            self.flush()
        self._pool.shutdown()
        os.close(self._journal_file)

    def _hash_begin(self, content: Wanted, count: int) -> hashlib._Hash:
        """Digest of the bytes that an earlier run has written of a content."""
        with explain_writes(self._folder):
            digest, *others = (hash_range(self._folder, place, count) for place in content.places)
        if any(other.digest() != digest.digest() for other in others):
            raise BundleError(f"What was written of content {content.sha256} differs between its places.", "try again")
        return digest

    def _add(self, content: Wanted, offset: int, size: int) -> None:
        """Count the bytes that were written of a content."""
        with self._lock:
            self._fresh.size += size
            self._fresh.unfinished[content.key] = offset
            self._fresh.paths.update(place.path for place in content.places)
            if self._fresh.size >= SYNC_BYTES:
                self._order_sync()

    def _make_room(self, size: int) -> None:
        while True:
            with self._lock:
                unsure = self._fresh.size + sum(count for _, count in self._syncs)
                if not self._syncs or unsure + size <= MAX_UNSURE_BYTES:
                    return
            self._wait()

    def _wait(self) -> None:
        """Wait for the oldest sync; a failure stays, so that every other thread that waits meets it too."""
        with self._lock:
            if not self._syncs:
                return
            first = self._syncs[0]
        first[0].result()
        with self._lock:
            if self._syncs and self._syncs[0] is first:
                self._syncs.popleft()

    def _order_sync(self) -> None:
        """Have everything that was written so far synced, then noted. The caller holds the lock."""
        fresh, self._fresh = self._fresh, Fresh(unfinished=dict(self._fresh.unfinished))
        marks = render_lines(PART, (f"{key} {offset}" for key, offset in fresh.unfinished.items()))
        text = "".join(fresh.lines) + marks
        if fresh.paths or text:
            self._syncs.append((self._pool.submit(self._sync, sorted(fresh.paths), text), fresh.size))

    def _sync(self, paths: Sequence[str], text: str) -> None:
        # The kernel reports a failed write once and then forgets the data: nothing after it may be noted.
        if self._failure is not None:
            raise self._failure
        try:
            for path in paths:
                sync_data(self._folder / path)
            end = os.lseek(self._journal_file, 0, os.SEEK_END)
            write_at(self._journal_file, text.encode(), end)
            os.fdatasync(self._journal_file)
        except OSError as error:
            self._failure = error
            raise
