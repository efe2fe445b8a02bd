"""Download wheels side by side into a cache, each under its own digest: what is there is not fetched again.

In: addresses and the digests that a lock accepts. Out: files that were hashed on their way and have their name only
when they are whole. Does I/O. The company's proxy, certificates and logins (``.netrc``, the index's address) apply.
"""

from __future__ import annotations

import hashlib
import os
import re
import threading
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import suppress
from dataclasses import dataclass, field
from netrc import NetrcParseError
from pathlib import Path
from typing import Final
from urllib.parse import unquote, urlsplit
from urllib.request import url2pathname

import httpx

from stackctl.adapters.files.durable_files import explain_writes
from stackctl.adapters.http.download import load_client
from stackctl.adapters.wheels.package_index import INDEX_HINT
from stackctl.core.bundle.pack.wheel_choice import Wheel
from stackctl.core.text.progress import Transfer
from stackctl.errors import BundleError, RuntimeFailure

# Small files wait for the server most of the time; more at once gained nothing on a line of 50 MiB/s.
LANES: Final = 12
TRIES: Final = 3
# A line that says nothing for so long is dead; no longer, because an interrupt waits for it.
TIMEOUT_S: Final = 15.0
PARTIAL: Final = ".part"
_DELAY_S: Final = 1.0
_PIECE_BYTES: Final = 1 << 20
_ADDRESS: Final = re.compile(r"https?://[^\s,]+")
_INDEX_VARIABLES: Final = ("UV_DEFAULT_INDEX", "UV_INDEX_URL", "UV_INDEX", "UV_EXTRA_INDEX_URL", "UV_FIND_LINKS")


def find_cached(folder: Path, wheel: Wheel) -> Path | None:
    """Where a wheel is in the cache, if it is there; its content is the caller's to check."""
    paths = (folder / digest / wheel.name for digest in wheel.accepted)
    return next((path for path in paths if path.is_file()), None)


def download_wheels(
    wheels: Sequence[Wheel], folder: Path, settings: Mapping[str, str], transfer: Transfer
) -> tuple[Path, ...]:
    """Fetch wheels into the cache, several at a time; their paths, in the same order.

    Args:
        folder: folder of the cache, this process's alone for now; a wheel's place in it is ``<sha256>/<name>``.
        wheels: wheels of different names.
        settings: variables that uv is given for this machine's indexes.

    Raises:
        BundleError: a file has other bytes than the lock accepts, or the disk is full.
        RuntimeFailure: a file could not be fetched.
    """
    title = transfer.title
    with explain_writes(folder):
        folder.mkdir(parents=True, exist_ok=True)
        for path in folder.glob(f"*{PARTIAL}"):
            path.unlink()
    run = _Run(folder, settings, dict(_list_logins({**os.environ, **settings})), transfer)
    with ThreadPoolExecutor(LANES, "wheel") as pool:
        jobs = [pool.submit(run.fetch, wheel) for wheel in wheels]
        try:
            for number, job in enumerate(as_completed(jobs), 1):
                job.result()
                transfer.title = f"{title}: {number} of {len(wheels)} files"
        except BaseException:
            run.stopped.set()
            pool.shutdown(cancel_futures=True)
            raise
    return tuple(job.result() for job in jobs)


class _Stopped(Exception):
    """Another file failed, or the user interrupted."""


@dataclass
class _Run:
    """What the downloading threads share.

    Attributes:
        settings: variables that uv is given.
        logins: user and password by scheme, host and port.
    """

    folder: Path
    settings: Mapping[str, str]
    logins: Mapping[tuple[str, str], tuple[str, str]]
    transfer: Transfer
    stopped: threading.Event = field(default_factory=threading.Event)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def fetch(self, wheel: Wheel) -> Path:
        """Path of one wheel in the cache, after it was fetched."""
        partial = self.folder / f"{wheel.name}{PARTIAL}"
        try:
            found = self._try(partial, wheel)
            if found not in wheel.accepted:
                names = " or ".join(wheel.accepted[:2]) + (" or another one of the lock" if wheel.accepted[2:] else "")
                raise BundleError(
                    f"{wheel.name} is not what the lock names: its SHA-256 is {found}, expected {names}.",
                    "the package index, or something on the way to it, gave another file: ask who runs it",
                )
            path = self.folder / found / wheel.name
            with explain_writes(self.folder):
                path.parent.mkdir(exist_ok=True)
                partial.replace(path)
            return path
        finally:
            partial.unlink(missing_ok=True)

    def _try(self, partial: Path, wheel: Wheel) -> str:
        """The digest of what was fetched; a failure that may pass in a moment is tried again."""
        for is_last in (*(False for _ in range(TRIES - 1)), True):
            try:
                return self._write(partial, wheel)
            except (httpx.HTTPError, httpx.InvalidURL, OSError) as error:
                if _may_pass(error) and not is_last and not self.stopped.wait(_DELAY_S):
                    continue
                host = urlsplit(wheel.url).hostname or "this machine"
                message = f"{wheel.name} could not be fetched from {host}: {_describe(error)}."
                raise RuntimeFailure(message, INDEX_HINT) from error
        raise _Stopped

    def _write(self, partial: Path, wheel: Wheel) -> str:
        digest, size = hashlib.sha256(), 0
        try:
            with explain_writes(self.folder), partial.open("wb") as file:
                for piece in self._read(wheel.url):
                    if self.stopped.is_set():
                        raise _Stopped
                    digest.update(piece)
                    file.write(piece)
                    size += len(piece)
                    self._count(len(piece))
        except BaseException:
            self._count(-size)
            raise
        return digest.hexdigest()

    def _read(self, url: str) -> Iterator[bytes]:
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https"):
            with Path(url2pathname(parts.path)).open("rb") as file:
                yield from iter(lambda: file.read(_PIECE_BYTES), b"")
            return
        authority, trusted = self.settings.get("SSL_CERT_FILE"), self.settings.get("UV_INSECURE_HOST", "").split()
        host = parts.netloc.rpartition("@")[2]
        verify = not {host, parts.hostname} & set(trusted)
        client = load_client(Path(authority) if authority else None, self.settings.get("ALL_PROXY", ""), verify=verify)
        login = self.logins.get((parts.scheme, host))
        auth = httpx.BasicAuth(*login) if login else _load_netrc()
        headers = {"accept-encoding": "identity"}
        stream = client.stream("GET", url, headers=headers, auth=auth, follow_redirects=True, timeout=TIMEOUT_S)
        with stream as answer:
            answer.raise_for_status()
            yield from answer.iter_raw()

    def _count(self, size: int) -> None:
        with self.lock:
            self.transfer.add(size)


def _may_pass(error: Exception) -> bool:
    if isinstance(error, httpx.HTTPStatusError):
        return error.response.is_server_error or error.response.status_code == httpx.codes.TOO_MANY_REQUESTS
    return isinstance(error, httpx.TransportError)


def _describe(error: Exception) -> str:
    if isinstance(error, httpx.HTTPStatusError):
        return f"it answered {error.response.status_code} {error.response.reason_phrase}"
    return str(getattr(error, "strerror", None) or error).rstrip(".") or type(error).__name__


def _list_logins(variables: Mapping[str, str]) -> Iterator[tuple[tuple[str, str], tuple[str, str]]]:
    """Logins in the addresses of indexes: uv leaves them out of the files' addresses."""
    for name in _INDEX_VARIABLES:
        for address in _ADDRESS.findall(variables.get(name, "")):
            parts = urlsplit(address)
            if parts.username:
                login = unquote(parts.username), unquote(parts.password or "")
                yield (parts.scheme, parts.netloc.rpartition("@")[2]), login


def _load_netrc() -> httpx.Auth | None:
    with suppress(OSError, NetrcParseError):
        return httpx.NetRCAuth(os.environ.get("NETRC"))
    return None
