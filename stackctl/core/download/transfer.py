"""One download as values: what is already here, what to ask for, what an answer means. Pure.

A file grows under a name of its own beside a small record (``Partial``). The record says how many bytes are safely on
the disk, so a run that was killed, or a machine that lost power, costs at most one checkpoint of rework.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Final

from stackctl.core.download.hub import Source
from stackctl.core.download.remote_file import RemoteFile
from stackctl.errors import ConfigError, RuntimeFailure

MIB: Final = 1 << 20
# Bytes between two records of what is safely on the disk: half a second of a fast line, so syncing costs little.
CHECKPOINT_BYTES: Final = 16 * MIB
# Tries without getting this far count as failed ones.
PROGRESS_BYTES: Final = MIB
MAX_TRIES: Final = 6
MAX_DELAY_S: Final = 60.0
# A server that asks for more is asked by the next run: hubs count requests in windows of five minutes.
MAX_RETRY_AFTER_S: Final = 600.0
GO_ON_HINT: Final = "run the command again: it goes on where it stopped"


@dataclass(eq=False)
class TransferInterrupted(RuntimeFailure):
    """A connection failed or broke, or the server asked for a pause: the same request may work in a while.

    Attributes:
        retry_after_s: seconds that the server asked to wait; 0 when it did not ask.
    """

    retry_after_s: float = 0.0


@dataclass(eq=False)
class HostUnreachable(TransferInterrupted):
    """No connection to the server could be made at all."""


@dataclass(frozen=True, slots=True)
class Reply:
    """A server's answer, its body still to come.

    Attributes:
        headers: header names in lower case, to their values.
        chunks: starts reading the body; raises ``TransferInterrupted`` when the body breaks off.
    """

    url: str
    status: int
    headers: Mapping[str, str]
    chunks: Callable[[], Iterator[bytes]] = field(repr=False, default=lambda: iter(()))


@dataclass(frozen=True, slots=True)
class Partial:
    """The record beside an unfinished file.

    Attributes:
        durable_bytes: bytes that were synced to the disk; what comes after them is not trusted.
    """

    origin: str
    size_bytes: int = 0
    sha256: str = ""
    validator: str = ""
    durable_bytes: int = 0

    def render_text(self) -> str:
        """The record as JSON."""
        return json.dumps({"version": 1, **asdict(self)}, indent=2) + "\n"


def parse_partial(text: str | None) -> Partial | None:
    """Read a record; None where there is none, or one that is of no use: then the download starts over."""
    try:
        data: Any = json.loads(text or "null")
        if not isinstance(data, dict) or data.pop("version", None) != 1:
            return None
        record = Partial(**data)
    except (ValueError, TypeError, RecursionError):
        return None
    texts = all(isinstance(item, str) for item in (record.origin, record.sha256, record.validator))
    counts = all(type(item) is int and item >= 0 for item in (record.size_bytes, record.durable_bytes))
    return record if texts and counts else None


def choose_offset(partial: Partial | None, present_bytes: int, source: Source, remote: RemoteFile) -> int:
    """Byte at which a download goes on; 0 to start over.

    A file with a known digest goes on whatever server it comes from. Without a digest the server must tell the
    version it sends (``If-Range``); a file that nothing identifies could become half of one and half of another.

    Args:
        present_bytes: length of the unfinished file as it is now.
    """
    if partial is None or present_bytes < partial.durable_bytes:
        return 0
    size = source.size_bytes or remote.size_bytes
    digest = source.sha256 or remote.sha256
    if size and partial.size_bytes and size != partial.size_bytes:
        return 0
    is_same = partial.sha256 == digest if digest else partial.origin == source.origin and bool(partial.validator)
    is_inside = not size or partial.durable_bytes <= size
    return partial.durable_bytes if is_same and is_inside else 0


def build_range_headers(offset: int, validator: str) -> dict[str, str]:
    """Headers that ask for the rest of a file, and for all of it should it have changed."""
    if not offset:
        return {}
    headers = {"range": f"bytes={offset}-"}
    return {**headers, "if-range": validator} if validator else headers


def read_start(reply: Reply, offset: int, size_bytes: int) -> int | None:
    """Byte of the file with which the body of a 200, 206 or 416 answer begins.

    Args:
        offset: first byte that was asked for.
        size_bytes: size of the file; 0 where unknown.

    Returns:
        ``offset``, or 0 where the server sends everything; None where the answer is of no use and the whole file must
        be asked for.
    """
    if reply.status == 200:
        return 0
    unit, _, rest = reply.headers.get("content-range", "").partition(" ")
    span, _, total = rest.partition("/")
    is_asked = reply.status == 206 and unit == "bytes" and span.partition("-")[0] == str(offset)
    is_same_size = not size_bytes or total in ("*", str(size_bytes))
    return offset if is_asked and is_same_size else None


def check_announced(source: Source, remote: RemoteFile) -> None:
    """Compare what a server announces with what is known of the file, before anything is downloaded.

    Raises:
        ConfigError: the server has another file.
    """
    pairs = (("size", source.size_bytes, remote.size_bytes), ("SHA-256", source.sha256, remote.sha256))
    for what, expected, seen in pairs:
        if expected and seen and expected != seen:
            message = f"{source.origin} is not the expected file: its {what} is {seen}, expected {expected}"
            raise ConfigError(
                f"{message}. Nothing was downloaded.", f"check {source.place}; the file may have been replaced"
            )


def choose_delay(failures: int, retry_after_s: float) -> float:
    """Seconds to wait after the n-th failure in a row: 1, 2, 4, ... at most a minute, or what the server asked for."""
    return max(min(2.0 ** (failures - 1), MAX_DELAY_S), retry_after_s)
