"""Names of models and what they stand for; redirects and who may see the token."""

from __future__ import annotations

from urllib.parse import urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stackctl.core.download.hub import Source, build_sources, follow_redirect, may_carry_token, parse_reference
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
