"""Names of models, redirects, the token, and what an unfinished download and a server's answer mean."""

from __future__ import annotations

from urllib.parse import urlsplit

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from stackctl.core.checksums import Checksum, parse_checksum
from stackctl.core.hub import (
    RemoteFile,
    Source,
    build_sources,
    follow_redirect,
    may_carry_token,
    parse_reference,
    read_remote,
)
from stackctl.core.transfer import (
    Partial,
    Reply,
    TransferInterrupted,
    build_range_headers,
    check_announced,
    choose_delay,
    choose_offset,
    explain_status,
    parse_partial,
    read_start,
)
from stackctl.errors import ConfigError, RuntimeFailure

HUB = "https://hub.example"
DIGEST = "ab" * 32
SOURCE = Source("m.gguf", f"{HUB}/a/b/resolve/main/m.gguf", "hf:a/b/m.gguf@main", is_hub=True)
WORDS = st.text(st.characters(codec="ascii", categories=["L", "N"]), min_size=1, max_size=12)


# Names


@pytest.mark.parametrize(
    ("text", "url", "origin"),
    [
        ("hf:a/b/m.gguf", f"{HUB}/a/b/resolve/main/m.gguf", "hf:a/b/m.gguf@main"),
        ("hf:a/b/q4/m.gguf@v1.0", f"{HUB}/a/b/resolve/v1.0/q4/m.gguf", "hf:a/b/q4/m.gguf@v1.0"),
        ("hf:a/b/m.gguf@refs/pr/1", f"{HUB}/a/b/resolve/refs%2Fpr%2F1/m.gguf", "hf:a/b/m.gguf@refs/pr/1"),
        ("hf:a/b/m x.gguf", f"{HUB}/a/b/resolve/main/m%20x.gguf", "hf:a/b/m x.gguf@main"),
        # What a browser's address bar holds is the hub's file, so the mirror and the token count for it.
        ("https://huggingface.co/a/b/blob/main/m.gguf", f"{HUB}/a/b/resolve/main/m.gguf", "hf:a/b/m.gguf@main"),
        ("https://hf.co/a/b/resolve/v1/m.gguf?download=true", f"{HUB}/a/b/resolve/v1/m.gguf", "hf:a/b/m.gguf@v1"),
        ("https://x.example/d/m.gguf?sig=1", "https://x.example/d/m.gguf?sig=1", "https://x.example/d/m.gguf"),
    ],
)
def test_names_and_what_they_stand_for(text: str, url: str, origin: str) -> None:
    reference = parse_reference(text)
    assert reference is not None
    (source,) = build_sources(reference, f"{HUB}/")
    assert (source.url, source.origin) == (url, origin)


@pytest.mark.parametrize(
    "text",
    [
        "hf:a/m.gguf",
        "hf:a/b/",
        "hf:a/b/m.bin",
        "hf:a/b/../m.gguf",
        "hf:../b/m.gguf",
        "hf:a/b/.m.gguf",
        "hf:a/b/m.gguf@",
        "hf:a/b/m.gguf@../x",
        "hf:a/b/m\n.gguf",
        "hf:a/b/x\\m.gguf",
        "hf:a/b/m.gguf#sha256=12",
        "hf:a/b/m.gguf#md5=12",
        "https://x.example/m.bin",
        "https://x.example/%2e%2e%2fm.gguf",
        "https://x.example/-m.gguf",
        "https://x.example/m.gguf#sha256=zz",
        "https:///m.gguf",
        "https://x.example:99999/m.gguf",
        "ftp://x.example/m.gguf",
        "file:///etc/m.gguf",
        "models/m.gguf",
        "m.gguf",
        "",
    ],
)
def test_what_is_no_name_is_refused(text: str) -> None:
    with pytest.raises(ConfigError):
        parse_reference(text)


def test_a_password_in_an_address_is_refused_and_not_repeated() -> None:
    with pytest.raises(ConfigError) as caught:
        parse_reference("https://me:planted@x.example/m.gguf")
    assert "planted" not in str(caught.value)


def test_a_catalog_name_is_no_reference() -> None:
    assert parse_reference("qwen2.5-coder-7b") is None


@given(st.text(max_size=80), st.sampled_from(["", "hf:", "hf:a/b/", "https://", "https://x.example/"]))
def test_any_text_gives_safe_sources_or_a_config_error(text: str, prefix: str) -> None:
    try:
        reference = parse_reference(prefix + text)
    except ConfigError:
        return
    if reference is None:
        return
    for source in build_sources(reference, HUB):
        assert source.name.endswith(".gguf")
        assert not set(source.name) & set("/\\\n\0")
        assert not source.name.startswith(".")
        assert urlsplit(source.url).scheme in ("http", "https")
        assert urlsplit(source.url).path.isascii() or not source.is_hub


@given(WORDS, WORDS, WORDS, st.none() | WORDS, st.integers(1, 4))
def test_a_hub_name_survives_its_own_text(owner: str, repo: str, stem: str, revision: str | None, count: int) -> None:
    name = f"{stem}.gguf" if count == 1 else f"{stem}-00001-of-{count:05d}.gguf"
    text = f"hf:{owner}/{repo}/{name}" + (f"@{revision}" if revision else "")
    first = parse_reference(text)
    assert first is not None
    assert parse_reference(first.render_text()) == first
    assert len(build_sources(first, HUB)) == count


def test_all_shards_from_any_of_them() -> None:
    reference = parse_reference("hf:a/b/q/m-00002-of-00003.gguf@v1")
    assert reference is not None
    assert [source.url for source in build_sources(reference, HUB)] == [
        f"{HUB}/a/b/resolve/v1/q/m-0000{number}-of-00003.gguf" for number in (1, 2, 3)
    ]


def test_one_digest_for_several_files_is_refused() -> None:
    reference = parse_reference(f"hf:a/b/m-00001-of-00002.gguf#sha256={DIGEST}")
    assert reference is not None
    with pytest.raises(ConfigError, match="one of 2 files"):
        build_sources(reference, HUB)


# Redirects and the token


@pytest.mark.parametrize("location", ["ftp://x/m", "file:///etc/passwd", "http://x.example/m.gguf", "http:///m"])
def test_a_redirect_to_nowhere_or_out_of_https_is_refused(location: str) -> None:
    with pytest.raises(RuntimeFailure):
        follow_redirect(SOURCE.url, location)


def test_a_relative_redirect_stays_on_the_hub() -> None:
    assert follow_redirect(SOURCE.url, "/c/d/resolve/main/m.gguf") == f"{HUB}/c/d/resolve/main/m.gguf"


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        (f"{HUB}/other", True),
        (f"{HUB}:443/other", True),
        (f"{HUB}:444/other", False),
        ("https://cdn.hub.example/x", False),
        ("https://hub.example.evil/x", False),
        ("http://hub.example/x", False),
    ],
)
def test_who_may_see_the_token(url: str, expected: bool) -> None:
    assert may_carry_token(url, SOURCE) is expected


def test_a_plain_address_never_gets_the_token() -> None:
    assert not may_carry_token(SOURCE.url, Source("m.gguf", SOURCE.url, "x"))


# What a server announces


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


def test_another_size_or_digest_than_the_catalogs_stops_before_the_download() -> None:
    known = Source("m.gguf", "", "hf:a/b/m.gguf@main", sha256=DIGEST, size_bytes=10)
    for remote in (RemoteFile(size_bytes=11), RemoteFile(sha256="cd" * 32)):
        with pytest.raises(ConfigError, match="Nothing was downloaded"):
            check_announced(known, remote)
    check_announced(known, RemoteFile(10, DIGEST))


# Going on


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
def test_a_wait_is_bounded(failures: int, asked: float) -> None:
    assume(failures < 1000)
    assert 1.0 <= choose_delay(failures, asked) <= 60.0


@pytest.mark.parametrize("status", [400, 401, 403, 404, 410, 418, 429, 451, 500, 503])
def test_every_refusal_has_words_and_a_next_step(status: int) -> None:
    error = explain_status(SOURCE, Reply("", status, {"retry-after": "7"}), "hub.example", has_token=False)
    assert str(status) in error.message
    assert "hub.example" in error.message
    assert error.hint
    if isinstance(error, TransferInterrupted):
        assert error.retry_after_s == 7.0


# Records of digests


@given(WORDS)
def test_a_checksum_is_read_back_and_by_coreutils(name: str) -> None:
    text = Checksum(DIGEST, "hf:a/b/m.gguf@main").render_text(f"{name}.gguf")
    assert parse_checksum(text) == Checksum(DIGEST, "hf:a/b/m.gguf@main")
    assert text.splitlines()[1] == f"{DIGEST}  {name}.gguf"


@pytest.mark.parametrize("text", [None, "", "nonsense", f"{DIGEST[:-1]}  m.gguf"])
def test_what_holds_no_digest_is_none(text: str | None) -> None:
    assert parse_checksum(text) is None


def test_a_line_of_sha256sum_is_enough() -> None:
    assert parse_checksum(f"{DIGEST.upper()} *m.gguf\n") == Checksum(DIGEST)
