"""What servers announce of a file."""

from __future__ import annotations

import pytest

from stackctl.core.download.remote_file import RemoteFile, read_remote

DIGEST = "ab" * 32


def test_the_hub_speaks_for_the_content_server() -> None:
    hub = {"x-linked-size": "12", "x-linked-etag": f'"{DIGEST}"', "etag": '"of-the-redirect"', "content-length": "50"}
    content = {"content-length": "12", "etag": '"v1"'}
    assert read_remote([hub, content]) == RemoteFile(12, DIGEST, '"v1"')


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        ({"content-length": "7", "etag": 'W/"weak"', "last-modified": "Mon"}, RemoteFile(7, "", "Mon")),
        ({"content-range": "bytes 3-9/10", "content-length": "7"}, RemoteFile(10, "", "")),
        ({"content-length": "many", "x-linked-etag": '"0a1b"'}, RemoteFile(0, "", "")),
        ({}, RemoteFile()),
    ],
)
def test_headers_that_say_less(headers: dict[str, str], expected: RemoteFile) -> None:
    assert read_remote([headers]) == expected


@pytest.mark.parametrize("size", ["9" * 5000, "-1", "1.5", "", "²"])
def test_a_size_that_is_none_is_not_known(size: str) -> None:
    answers = [{"x-linked-size": size}, {"content-length": size, "content-range": f"bytes 0-1/{size}"}]
    assert read_remote(answers).size_bytes == read_remote([{"content-length": size}]).size_bytes == 0
