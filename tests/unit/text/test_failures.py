"""What the operating system's errors, and bytes that are no text, are called."""

from __future__ import annotations

import errno
import os
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stackctl.core.text.failures import decode_text, explain_failure, find_hint
from stackctl.errors import ConfigError, RuntimeFailure
from tests.fakes import raised_by


def find_words(data: bytes) -> tuple[str, str]:
    error = raised_by(lambda: decode_text(data, "it"))
    assert isinstance(error, ConfigError)
    return error.message, error.hint


@pytest.mark.parametrize(
    ("data", "place", "hint"),
    [
        ("안녕\nA=1".encode("cp949"), "line 1, column 1 holds the byte 0xbe; it looks like CP949", "CP949"),
        (b"A=1\n# \xbe\xc8\n", "line 2, column 3 holds the byte 0xbe; it looks like CP949", "iconv -f CP949 -t UTF-8"),
        ("가나\n다".encode() + b"\xff\n", "line 2, column 2 holds the byte 0xff.", "save it as UTF-8"),
        ("A=1\n".encode("utf-16"), "line 1, column 1 holds the byte 0xff; it looks like UTF-16", "iconv -f UTF-16"),
    ],
)
def test_bytes_that_are_no_utf8_are_named_with_line_column_and_what_they_look_like(
    data: bytes, place: str, hint: str
) -> None:
    message, advice = find_words(data)
    assert message.startswith("it is not UTF-8 text: ")
    assert place in message
    assert hint in advice


def test_a_mark_of_byte_order_and_windows_ends_of_lines_are_taken() -> None:
    assert decode_text(b"\xef\xbb\xbfA=1\r\nB=2\r", "it") == "A=1\nB=2\n"


def is_utf8(data: bytes) -> bool:
    try:
        data.decode()
    except UnicodeDecodeError:
        return False
    return True


@given(st.text(), st.binary(min_size=1, max_size=4), st.binary(max_size=8))
def test_any_bytes_are_read_or_refused_at_the_byte_that_is_wrong(before: str, wrong: bytes, after: bytes) -> None:
    """The first bytes that are UTF-8 alone end where the first wrong one stands."""
    data = before.encode("utf-8", "replace") + wrong + after
    body = data.removeprefix(b"\xef\xbb\xbf")
    start = max(end for end in range(len(body) + 1) if is_utf8(body[:end]))
    if is_utf8(body):
        assert decode_text(data, "it") == body.decode().replace("\r\n", "\n").replace("\r", "\n")
        return
    found = re.search(r"line (\d+), column (\d+) holds the byte 0x([0-9a-f]{2})", find_words(data)[0])
    assert found is not None
    good = body[:start].decode().split("\n")
    assert (int(found[1]), int(found[2]), int(found[3], 16)) == (len(good), len(good[-1]) + 1, body[start])


@pytest.mark.parametrize(
    ("number", "words"),
    [
        (errno.ENOSPC, "free some space"),
        (errno.EDQUOT, "quota"),
        (errno.EROFS, "writable"),
        (errno.EACCES, "owner"),
        (errno.EISDIR, "a folder has the name of a file"),
        (errno.EMFILE, "ulimit -n"),
        (errno.EXDEV, "check the path"),
    ],
)
def test_an_error_of_the_system_names_the_file_and_what_to_do(number: int, words: str) -> None:
    error = explain_failure(OSError(number, os.strerror(number), "/site/.env"))
    assert isinstance(error, RuntimeFailure)
    assert error.message == f"/site/.env: {os.strerror(number)}."
    assert words in error.hint


def test_a_full_disk_that_nobody_named_is_to_be_looked_for() -> None:
    assert "df -h" in find_hint(OSError(errno.ENOSPC, "No space left on device"))


def test_a_name_that_is_no_utf8_is_the_inputs_fault_and_other_failures_are_not_explained_away() -> None:
    name = os.fsdecode(b"/srv/\xbe\xc8/models")
    with pytest.raises(UnicodeEncodeError) as caught:
        name.encode()
    error = explain_failure(caught.value)
    assert isinstance(error, ConfigError)
    assert "/srv/" in error.message
    assert error.message.isprintable()
    assert explain_failure(ValueError("a bug")) is None
    assert explain_failure(OSError("made by hand")) is None
