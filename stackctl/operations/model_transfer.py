"""One file over the network: redirects, the token, ranges, retries with back-off, records of what is safely here."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field, replace
from io import BytesIO
from pathlib import Path
from urllib.parse import urlsplit

from stackctl.core.gguf import GGUFError, parse_gguf
from stackctl.core.hub import (
    MAX_REDIRECTS,
    REDIRECTS,
    RemoteFile,
    Source,
    follow_redirect,
    may_carry_token,
    read_remote,
)
from stackctl.core.progress import Transfer
from stackctl.core.transfer import (
    CHECKPOINT_BYTES,
    MAX_TRIES,
    PROGRESS_BYTES,
    HostUnreachable,
    Partial,
    Reply,
    TransferInterrupted,
    build_range_headers,
    check_announced,
    choose_delay,
    explain_status,
    read_start,
)
from stackctl.errors import ConfigError, RuntimeFailure
from stackctl.operations.effects import Effects
from stackctl.operations.models import PartialFile, StoreEffects

MAX_RESTARTS = 3
# A server that does not know HEAD; 403 is for an address that was signed for GET alone.
_NO_HEAD = frozenset({405, 501})


@dataclass(frozen=True, slots=True)
class Answered:
    """The last answer of a chain of redirects, with the headers of all."""

    reply: Reply
    remote: RemoteFile


@dataclass(frozen=True, slots=True)
class Connection:
    """How to ask for one file.

    Attributes:
        token: the hub's; empty for none. It goes to the first server only.
        ca_bundle: the company's certificates, None for the system's alone.
    """

    effects: Effects
    store: StoreEffects
    source: Source
    token: str = field(repr=False, default="")
    ca_bundle: Path | None = None

    @contextmanager
    def ask(self, method: str, headers: Mapping[str, str]) -> Iterator[Answered]:
        """Ask, and follow redirects.

        Raises:
            RuntimeFailure: the redirects lead nowhere.
        """
        url, has_token, answers = self.source.url, bool(self.token), []
        with ExitStack() as opened:
            for _ in range(MAX_REDIRECTS + 1):
                # Once it left the hub, a chain never gets the token again.
                has_token = has_token and may_carry_token(url, self.source)
                sent = {**headers, "authorization": f"Bearer {self.token}"} if has_token else headers
                reply = opened.enter_context(self.store.open_reply(self.ca_bundle, method, url, sent))
                answers.append(reply.headers)
                location, remote = reply.headers.get("location", ""), read_remote(answers)
                is_known = method == "HEAD" and bool(remote.sha256) and "x-linked-size" in reply.headers
                if reply.status not in REDIRECTS or not location or is_known:
                    yield Answered(reply, remote)
                    return
                opened.close()
                url = follow_redirect(url, location)
        raise RuntimeFailure(f"{self.source.origin}: more than {MAX_REDIRECTS} redirects.", "check HF_ENDPOINT")

    def check(self, reply: Reply) -> None:
        """Refuse an answer that has no file.

        Raises:
            StackError: says what it means.
        """
        if reply.status not in (200, 206, 416) and not (reply.status in REDIRECTS and "location" in reply.headers):
            host = urlsplit(reply.url).hostname or ""
            raise explain_status(self.source, reply, host, bool(self.token))

    def wait(self, failures: int, error: TransferInterrupted) -> None:
        """Wait before the next try.

        Raises:
            TransferInterrupted: there were too many tries.
        """
        if failures >= MAX_TRIES:
            raise error
        delay_s = choose_delay(failures, error.retry_after_s)
        self.effects.report(f"waiting for {self.source.name}: {error.message} Trying again in {delay_s:g} s")
        self.effects.sleep(delay_s)


def probe(connection: Connection) -> RemoteFile:
    """Ask what the server has, without the file.

    Raises:
        HostUnreachable: at once; nothing was downloaded that waiting could save.
        StackError: the server has no such file, or keeps failing.
    """
    check_token(connection.token)
    source, method, failures = connection.source, "HEAD", 0
    if connection.token and source.is_hub and not may_carry_token(source.url, source):
        connection.effects.report("HF_TOKEN stays here: HF_ENDPOINT is plain HTTP")
    while True:
        try:
            with connection.ask(method, {}) as answered:
                status = answered.reply.status
                if method == "HEAD" and (status in _NO_HEAD or (status == 403 and not source.is_hub)):
                    method = "GET"
                    continue
                connection.check(answered.reply)
                return answered.remote
        except HostUnreachable:
            raise
        except TransferInterrupted as error:
            failures += 1
            connection.wait(failures, error)


def check_token(token: str) -> None:
    """Refuse a token that no header carries, before a library quotes it in its own error.

    Raises:
        ConfigError: it holds spaces or other characters.
    """
    if token and not (token.isascii() and token.isprintable() and " " not in token):
        message = (
            f"HF_TOKEN is a secret of {len(token)} characters with spaces or characters that no HTTP header carries"
        )
        raise ConfigError(f"{message}.", "copy the token again")


class FileTransfer:
    """Bring one unfinished file to its end.

    Args:
        record: where to note how much is safely on the disk.
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
        """One request and what comes of it."""
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
        """The answer is of no use: ask for the whole file, if that was not it already."""
        if not offset:
            host = urlsplit(reply.url).hostname
            message = f"{host} answers {reply.status} with bytes that were not asked for"
            raise RuntimeFailure(f"{message}: {self._source.origin}.", "check HF_ENDPOINT, or the company's proxy")
        self._restart("the server has another version of the file, or cannot go on in it")

    def _restart(self, reason: str) -> None:
        self._restarts += 1
        if self._restarts > MAX_RESTARTS:
            message = f"{self._source.origin} had to be started over {MAX_RESTARTS} times: {reason}"
            raise RuntimeFailure(f"{message}.", "try again on a better line, or bring the file by hand")
        self._effects.report(f"starting {self._source.name} over: {reason}")
        self._partial.restart()
        self._progress = self._start_progress()
        self._save(0)

    def _check_length(self, reply: Reply, start: int) -> None:
        """Compare the announced length with the size that is known; learn it where none is."""
        if reply.headers.get("content-encoding", "identity") != "identity":
            raise RuntimeFailure(
                f"{self._source.origin} comes compressed.", "check HF_ENDPOINT, or the company's proxy"
            )
        length = reply.headers.get("content-length", "")
        if not length.isdecimal():
            return
        total = start + int(length)
        if self._size and total != self._size:
            message = f"{self._source.origin}: the server sends {total} bytes, expected {self._size}"
            raise RuntimeFailure(f"{message}.", "check HF_ENDPOINT, or the company's proxy")
        self._size = self._progress.total = total

    def _store(self, reply: Reply) -> None:
        for chunk in reply.chunks():
            if not self._partial.position:
                self._check_magic(chunk)
            if self._size and self._partial.position + len(chunk) > self._size:
                message = f"{self._source.origin}: the server sends more than {self._size} bytes"
                raise RuntimeFailure(f"{message}.", "check HF_ENDPOINT, or the company's proxy")
            self._partial.write(chunk)
            self._progress.add(len(chunk))
            if self._partial.position - self._durable >= CHECKPOINT_BYTES:
                self._checkpoint()
        self._is_ended = True
        if self._size and self._partial.position < self._size:
            message = f"The connection ended after {self._partial.position} of {self._size} bytes."
            raise TransferInterrupted(message, "run the command again: it goes on where it stopped")

    def _check_magic(self, chunk: bytes) -> None:
        """Stop a login page or a pointer file at its first bytes."""
        if len(chunk) < 4 or chunk.startswith(b"GGUF"):
            return
        try:
            parse_gguf(BytesIO(chunk))
        except GGUFError as error:
            raise ConfigError(f"{self._source.origin}: {error.message}.", "check the name on the hub's page") from error

    def _start_progress(self) -> Transfer:
        progress = Transfer(self._source.name, self._size, self._effects.report, self._effects.clock)
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
        self._effects.save_text(self._record, record.render_text(), 0o644)
        self._durable = durable_bytes
