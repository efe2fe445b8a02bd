"""Records of digests, as coreutils reads them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stackctl.core.models.checksums import Checksum, parse_checksum

DIGEST = "ab" * 32
WORDS = st.text(st.characters(codec="ascii", categories=["L", "N"]), min_size=1, max_size=12)


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
