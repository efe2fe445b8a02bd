"""One file over the network: what is kept of it, ranges, restarts, records of what is safely on the disk.

In: a ``Connection`` and an unfinished file. Out: the file with all its bytes. Does I/O through its effects.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace
from io import BytesIO
from pathlib import Path
from urllib.parse import urlsplit

from stackctl.core.download.remote_file import RemoteFile, read_count
from stackctl.core.download.transfer import (
    CHECKPOINT_BYTES,
    GO_ON_HINT,
    PROGRESS_BYTES,
    Partial,
    Reply,
    TransferInterrupted,
    build_range_headers,
    check_announced,
    read_start,
)
from stackctl.core.models.gguf import GGUFError, parse_gguf
from stackctl.core.text.progress import Transfer
from stackctl.errors import ConfigError, RuntimeFailure
from stackctl.operations.models.connection import Connection
from stackctl.operations.models.folder import PartialFile

MAX_RESTARTS = 3


class FileTransfer:
    """Bring one unfinished file to its end.

    Args:
        record: path at which to note how many bytes are safely on the disk.
        validator: what the server said of the version that is partly here.
    """

    def __init__(self, connection: Connection, partial: PartialFile, record: Path, validator: str) -> None:
        self._connection = connection
        self._effects = connection.effects
        self._source = connection.source
        self._partial = partial
        self._record = record
        self._validator = validator
        self._size = connection.source.size_bytes
        self._server_hint = f"check {connection.source.place}, or the company's proxy"
        self._is_ended = False
        self._restarts = 0
        self._durable = partial.position
        self._progress = self._start_progress()

    def run(self) -> None:
        """Receive until the file is complete.

        Raises:
            TransferInterrupted: the server kept failing; what came stays.
            ConfigError: what comes is not the file.
        """
        failures, furthest = 0, self._partial.position
        self._save(self._partial.position)
        while not self._is_complete():
            try:
                self._receive()
            except TransferInterrupted as error:
                # Only new ground counts as progress: a server without ranges would else start over for ever.
                is_further = self._partial.position >= furthest + PROGRESS_BYTES
                furthest = max(furthest, self._partial.position)
                failures = 1 if is_further else failures + 1
                self._checkpoint()  # before the wait, which may be where a user gives up
                self._connection.wait(failures, error)
            finally:
                with suppress(OSError):  # a full disk is what ended it: the last record stands
                    self._checkpoint()

    def _is_complete(self) -> bool:
        return self._partial.position == self._size if self._size else self._is_ended

    def _receive(self) -> None:
        """Make one request and write what it brings."""
        self._is_ended = False
        if self._partial.position and not (self._source.sha256 or self._validator):
            self._restart("nothing says whether the server still has the same version")
        offset = self._partial.position
        validator = "" if self._source.sha256 else self._validator
        with self._connection.ask("GET", build_range_headers(offset, validator)) as answered:
            reply, remote = answered.reply, answered.remote
            self._connection.check(reply)
            check_announced(self._source, RemoteFile(sha256=remote.sha256))
            start = read_start(reply, offset, self._size)
            is_changed = start and not self._source.sha256 and remote.validator not in ("", self._validator)
            if start is None or is_changed:
                self._refuse(reply, offset)
                return
            if start == 0:
                if offset:
                    self._restart("the server sends the file from its start")
                self._validator = remote.validator
            self._check_length(reply, start)
            self._store(reply)

    def _refuse(self, reply: Reply, offset: int) -> None:
        """Give up on an answer that is of no use: ask for the whole file, if that was not asked already."""
        if not offset:
            host = urlsplit(reply.url).hostname
            message = f"{host} answers {reply.status} with bytes that were not asked for"
            raise RuntimeFailure(f"{message}: {self._source.origin}.", self._server_hint)
        self._restart("the server has another version of the file, or cannot go on in it")

    def _restart(self, reason: str) -> None:
        self._restarts += 1
        if self._restarts > MAX_RESTARTS:
            message = f"{self._source.origin} had to be started over {MAX_RESTARTS} times: {reason}"
            raise RuntimeFailure(f"{message}.", "try again on a better line, or bring the file by hand")
        self._effects.terminal.report(f"starting {self._source.name} over: {reason}")
        self._partial.restart()
        self._progress = self._start_progress()
        self._save(0)

    def _check_length(self, reply: Reply, start: int) -> None:
        """Compare the announced length with the size that is known; keep it where none is."""
        if reply.headers.get("content-encoding", "identity") != "identity":
            raise RuntimeFailure(f"{self._source.origin} comes compressed.", self._server_hint)
        length = read_count(reply.headers.get("content-length", ""))
        if not length:
            return
        total = start + length
        if self._size and total != self._size:
            message = f"{self._source.origin}: the server sends {total} bytes, expected {self._size}"
            raise RuntimeFailure(f"{message}.", self._server_hint)
        self._size = self._progress.total = total

    def _store(self, reply: Reply) -> None:
        for chunk in reply.chunks():
            if not self._partial.position:
                self._check_magic(chunk)
            if self._size and self._partial.position + len(chunk) > self._size:
                message = f"{self._source.origin}: the server sends more than {self._size} bytes"
                raise RuntimeFailure(f"{message}.", self._server_hint)
            self._partial.write(chunk)
            self._progress.add(len(chunk))
            if self._partial.position - self._durable >= CHECKPOINT_BYTES:
                self._checkpoint()
        self._is_ended = True
        if self._size and self._partial.position < self._size:
            message = f"The connection ended after {self._partial.position} of {self._size} bytes."
            raise TransferInterrupted(message, GO_ON_HINT)
        if not self._partial.position:
            raise ConfigError(f"{self._source.origin} is empty: 0 bytes.", f"check {self._source.place}")

    def _check_magic(self, chunk: bytes) -> None:
        """Stop a login page or a pointer file at its first bytes."""
        if len(chunk) < 4 or chunk.startswith(b"GGUF"):
            return
        try:
            parse_gguf(BytesIO(chunk))
        except GGUFError as error:
            raise ConfigError(f"{self._source.origin}: {error.message}.", "check the name on the hub's page") from error

    def _start_progress(self) -> Transfer:
        progress = Transfer(self._source.name, self._size, self._effects.terminal.report, self._effects.clock.monotonic)
        progress.skip(self._partial.position)
        return progress

    def _checkpoint(self) -> None:
        """Sync, then note how much is synced; in this order a record never promises too much."""
        if self._partial.position != self._durable:
            self._partial.sync()
            self._save(self._partial.position)

    def _save(self, durable_bytes: int) -> None:
        source = replace(self._source, size_bytes=self._size)
        record = Partial(source.origin, source.size_bytes, source.sha256, self._validator, durable_bytes)
        self._effects.files.save_text(self._record, record.render_text(), 0o644)
        self._durable = durable_bytes
