"""Where an unfinished download goes on, what it asks for and what it takes."""

from __future__ import annotations

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from stackctl.core.download.hub import Source
from stackctl.core.download.remote_file import RemoteFile
from stackctl.core.download.transfer import (
    Partial,
    Reply,
    build_range_headers,
    check_announced,
    choose_delay,
    choose_offset,
    parse_partial,
    read_start,
)
from stackctl.errors import ConfigError

HUB = "https://hub.example"
DIGEST = "ab" * 32
SOURCE = Source("m.gguf", f"{HUB}/a/b/resolve/main/m.gguf", "hf:a/b/m.gguf@main", is_hub=True)


def test_another_size_or_digest_than_the_catalogs_stops_before_the_download() -> None:
    known = Source("m.gguf", "", "hf:a/b/m.gguf@main", sha256=DIGEST, size_bytes=10)
    for remote in (RemoteFile(size_bytes=11), RemoteFile(sha256="cd" * 32)):
        with pytest.raises(ConfigError, match="Nothing was downloaded"):
            check_announced(known, remote)
    check_announced(known, RemoteFile(10, DIGEST))


PARTIAL = Partial(SOURCE.origin, 100, DIGEST, '"v1"', 60)


@pytest.mark.parametrize(
    ("partial", "present", "remote", "expected"),
    [
        (PARTIAL, 60, RemoteFile(100, DIGEST), 60),
        (PARTIAL, 99, RemoteFile(100, DIGEST), 60),  # beyond what was synced nothing is trusted
        (PARTIAL, 59, RemoteFile(100, DIGEST), 0),
        (PARTIAL, 60, RemoteFile(100, "cd" * 32), 0),
        (PARTIAL, 60, RemoteFile(101, DIGEST), 0),
        (Partial("hf:of/another/mirror.gguf", 100, DIGEST, "", 60), 60, RemoteFile(100, DIGEST), 60),
        (Partial(SOURCE.origin, 100, "", '"v1"', 60), 60, RemoteFile(100), 60),
        (Partial(SOURCE.origin, 100, "", "", 60), 60, RemoteFile(100), 0),  # nothing would tell two versions apart
        (Partial("https://elsewhere/m.gguf", 100, "", '"v1"', 60), 60, RemoteFile(100), 0),
        (Partial(SOURCE.origin, 0, DIGEST, "", 160), 160, RemoteFile(100, DIGEST), 0),
        (None, 60, RemoteFile(100, DIGEST), 0),
    ],
)
def test_where_a_download_goes_on(partial: Partial | None, present: int, remote: RemoteFile, expected: int) -> None:
    assert choose_offset(partial, present, SOURCE, remote) == expected


@given(st.builds(Partial, st.text(), st.integers(0), st.text(), st.text(), st.integers(0)))
def test_a_record_survives_its_own_text(partial: Partial) -> None:
    assert parse_partial(partial.render_text()) == partial


@given(st.none() | st.text())
def test_a_damaged_record_is_none(text: str | None) -> None:
    assert parse_partial(text) is None


@pytest.mark.parametrize(
    "text",
    [
        "[]",
        "null",
        '{"version": 2, "origin": "x"}',
        '{"version": 1}',
        '{"version": 1, "origin": "x", "size_bytes": -1}',
        '{"version": 1, "origin": "x", "durable_bytes": true}',
        '{"version": 1, "origin": "x", "other": 1}',
        "[" * 99999,
    ],
)
def test_a_record_of_another_kind_is_none(text: str) -> None:
    assert parse_partial(text) is None


def test_ranges_are_asked_for_with_the_version() -> None:
    assert build_range_headers(0, '"v1"') == {}
    assert build_range_headers(5, "") == {"range": "bytes=5-"}
    assert build_range_headers(5, '"v1"') == {"range": "bytes=5-", "if-range": '"v1"'}


@pytest.mark.parametrize(
    ("status", "content_range", "expected"),
    [
        (200, "", 0),
        (206, "bytes 5-9/10", 5),
        (206, "bytes 5-9/*", 5),
        (206, "bytes 4-9/10", None),
        (206, "bytes 5-9/11", None),
        (206, "items 5-9/10", None),
        (206, "", None),
        (416, "bytes */10", None),
    ],
)
def test_where_a_body_begins(status: int, content_range: str, expected: int | None) -> None:
    assert read_start(Reply("", status, {"content-range": content_range}), 5, 10) == expected


@given(st.integers(1, 2000), st.floats(0, 1e9))
def test_a_wait_is_bounded_and_never_shorter_than_asked_for(failures: int, asked: float) -> None:
    assume(failures < 1000)
    assert max(1.0, asked) <= choose_delay(failures, asked) <= max(60.0, asked)
