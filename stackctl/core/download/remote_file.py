"""What servers announce of a file: its size, SHA-256, version and commit. Pure: headers in, values out."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

# A larger figure in a header is no count of bytes.
MAX_DIGITS: Final = 18
_SHA256: Final = re.compile(r"[0-9a-f]{64}")
_COMMIT: Final = re.compile(r"[0-9a-f]{40}")


@dataclass(frozen=True, slots=True)
class RemoteFile:
    """What a server announces of a file.

    Attributes:
        size_bytes: size of the file; 0 when the server does not say.
        sha256: digest of the file; empty when the server does not say.
        validator: a strong ETag or a date that ``If-Range`` takes; empty when the server gives neither.
        commit: the hub's commit that a branch or tag stood for; empty when the server does not say.
    """

    size_bytes: int = 0
    sha256: str = ""
    validator: str = ""
    commit: str = ""


def read_remote(answers: Sequence[Mapping[str, str]]) -> RemoteFile:
    """Read the headers (names in lower case) of each answer on the way, n >= 1, the last one being the file's own."""
    last = answers[-1]
    linked_size = next((size for a in answers if (size := read_count(a.get("x-linked-size", "")))), 0)
    linked_etag = next((a["x-linked-etag"] for a in answers if a.get("x-linked-etag")), "")
    digest = linked_etag.removeprefix("W/").strip('"').lower()
    etag = last.get("etag", "")
    validator = etag if etag and not etag.startswith("W/") else last.get("last-modified", "")
    commit = next((a["x-repo-commit"] for a in answers if _COMMIT.fullmatch(a.get("x-repo-commit", ""))), "")
    size = linked_size or _read_total(last)
    return RemoteFile(size, digest if _SHA256.fullmatch(digest) else "", validator, commit)


def read_count(text: str) -> int:
    """A header's number of bytes or seconds; 0 where the text is no number."""
    digits = text.strip()
    return int(digits) if digits.isdecimal() and len(digits) <= MAX_DIGITS else 0


def _read_total(headers: Mapping[str, str]) -> int:
    """Size of the whole file in bytes by the headers of its own answer; 0 when they do not say."""
    if "content-range" in headers:
        return read_count(headers["content-range"].rpartition("/")[2])
    return read_count(headers.get("content-length", ""))
