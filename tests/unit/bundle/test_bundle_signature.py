"""Signatures and keys: minisign reads ours, we read minisign's, and nothing altered passes."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stackctl.core.bundle.format.opened import OpenedBundle, check_signature
from stackctl.core.bundle.format.signature import (
    AlteredContent,
    SecretKey,
    build_secret_key,
    parse_public_key,
    parse_secret_key,
    render_public_key,
    render_secret_key,
    sign,
    verify,
)
from stackctl.errors import BundleError
from tests.bundle_builder import OTHER_SECRET, SECRET
from tests.fakes import raised_by

DATA = b'{"format":"ai-stack-bundle/1"}\n'
TEXT = sign(SECRET, DATA, "test-stack 1")

comments = st.text(st.characters(exclude_categories=["Cs", "Cc"]), max_size=100)


@given(st.binary(min_size=40, max_size=40), st.binary(max_size=500), comments)
def test_what_a_key_signed_its_other_half_accepts(random: bytes, data: bytes, comment: str) -> None:
    secret = build_secret_key(random)
    assert parse_secret_key(render_secret_key(secret)) == secret
    assert parse_public_key(render_public_key(secret.public)) == secret.public
    assert verify(secret.public, data, sign(secret, data, comment)) == comment


@given(st.data())
def test_no_other_content_passes(data: st.DataObject) -> None:
    changed = bytearray(DATA)
    changed[data.draw(st.integers(0, len(DATA) - 1))] ^= data.draw(st.integers(1, 255))
    with pytest.raises(AlteredContent, match="altered after key"):
        verify(SECRET.public, bytes(changed), TEXT)


@given(st.data())
def test_no_other_signature_text_passes(data: st.DataObject) -> None:
    position, removed = data.draw(st.integers(0, len(TEXT))), data.draw(st.integers(0, 3))
    inserted = data.draw(st.text(max_size=3))
    changed = TEXT[:position] + inserted + TEXT[position + removed :]
    if changed != TEXT:
        with pytest.raises(BundleError):
            verify(SECRET.public, DATA, changed)


def test_every_single_byte_of_a_signature_file_counts() -> None:
    data = TEXT.encode()
    for position in range(len(data)):
        changed = bytearray(data)
        changed[position] ^= 1
        with pytest.raises(BundleError):
            verify(SECRET.public, DATA, bytes(changed).decode("utf-8", "surrogateescape"))


@given(st.text(max_size=300))
def test_any_text_for_a_key_or_a_signature_is_refused_in_words(text: str) -> None:
    for parse in (parse_public_key, parse_secret_key):
        with pytest.raises(BundleError):
            parse(text)
    with pytest.raises(BundleError):
        verify(SECRET.public, DATA, text)


def _change_line(text: str, number: int, line: str) -> str:
    lines = text.splitlines()
    lines[number] = line
    return "\n".join(lines) + "\n"


OTHER = sign(OTHER_SECRET, DATA, "test-stack 1").splitlines()


@pytest.mark.parametrize(
    ("text", "words"),
    [
        pytest.param("\n".join(OTHER) + "\n", "expected was key", id="another key"),
        pytest.param(_change_line(TEXT, 2, "trusted comment: test-stack 2"), "signature file", id="another comment"),
        pytest.param(_change_line(TEXT, 0, "untrusted comment: trust me"), "nobody signed", id="the unsigned line"),
        pytest.param(_change_line(TEXT, 3, OTHER[3]), "signature file was altered", id="another's second signature"),
        pytest.param(TEXT[: len(TEXT) // 2], "minisign's format", id="truncated"),
        pytest.param(TEXT + "more\n", "minisign's format", id="a line more"),
        pytest.param(TEXT + "\n" * 5000, "minisign's format", id="long"),
        pytest.param(TEXT.replace("\n", "\r\n"), "signature", id="another system's lines"),
        pytest.param("", "minisign's format", id="empty"),
    ],
)
def test_each_way_of_a_wrong_signature_is_told_apart(text: str, words: str) -> None:
    with pytest.raises(BundleError, match=words):
        verify(SECRET.public, DATA, text)


def test_a_key_that_shares_only_its_name_vouches_for_nothing() -> None:
    impostor = SecretKey(SECRET.key_id, OTHER_SECRET.seed)
    with pytest.raises(BundleError, match="altered"):
        verify(SECRET.public, DATA, sign(impostor, DATA, "test-stack 1"))


def test_a_damaged_secret_key_is_told_from_one_that_is_none() -> None:
    text = render_secret_key(SECRET)
    line = text.splitlines()[1]
    damaged = line[:150] + ("A" if line[150] != "A" else "B") + line[151:]
    with pytest.raises(BundleError, match="damaged"):
        parse_secret_key(_change_line(text, 1, damaged))
    with pytest.raises(BundleError, match="no Ed25519 secret key"):
        parse_secret_key("AAAA")


def test_the_two_halves_of_a_pair_are_told_apart_when_one_is_given_for_the_other() -> None:
    secret = raised_by(lambda: parse_public_key(render_secret_key(SECRET), "--key, bundle.key,"))
    assert "--key, bundle.key, is a secret key, which signs and stays with whoever packs" in str(secret)
    assert ".pub" in secret.hint
    assert "keygen" not in secret.hint
    public = raised_by(lambda: parse_secret_key(render_public_key(SECRET.public), "bundle.pub"))
    assert "bundle.pub is a public key, which only checks" in str(public)
    assert ".key" in public.hint


@pytest.mark.parametrize("text", ["hello", "", "AAAA"])
def test_what_is_no_public_key_is_not_told_to_make_a_pair(text: str) -> None:
    error = raised_by(lambda: parse_public_key(text))
    assert ".pub" in error.hint
    assert "keygen" not in error.hint


def test_a_secret_key_is_never_shown() -> None:
    assert repr(SECRET.seed) not in repr(SECRET)
    assert SECRET.seed.hex() not in repr(SECRET)


# Whether a bundle is vouched for


def _open(signature: str | None) -> OpenedBundle:
    return OpenedBundle(Path("/media/b"), DATA, signature, {})


def test_a_good_signature_names_its_key() -> None:
    verdict = check_signature(_open(TEXT), SECRET.public, allow_unsigned=False)
    assert (verdict.signer, verdict.comment, verdict.warning) == (SECRET.public.name, "test-stack 1", "")


@pytest.mark.parametrize("signature", [TEXT, None])
def test_nothing_unchecked_passes_unless_it_is_asked_for(signature: str | None) -> None:
    with pytest.raises(BundleError):
        check_signature(_open(signature), None, allow_unsigned=False)
    verdict = check_signature(_open(signature), None, allow_unsigned=True)
    assert not verdict.is_signed
    assert verdict.warning


def test_a_missing_signature_is_no_signature_even_where_there_is_a_key() -> None:
    with pytest.raises(BundleError, match="is not signed"):
        check_signature(_open(None), SECRET.public, allow_unsigned=False)


def test_a_wrong_signature_is_never_allowed() -> None:
    with pytest.raises(BundleError, match=r"bundle\.json\.sig"):
        check_signature(_open(TEXT[:-5]), SECRET.public, allow_unsigned=True)
    with pytest.raises(BundleError, match=r"bundle\.json: "):
        check_signature(OpenedBundle(Path("/media/b"), DATA + b" ", TEXT, {}), SECRET.public, allow_unsigned=True)
