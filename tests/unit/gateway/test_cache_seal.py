"""What is kept is sealed, and opened by the same key alone."""

from __future__ import annotations

from gateway.cache.seal import Seal
from hypothesis import given
from hypothesis import strategies as st


@given(st.binary(max_size=300), st.binary(max_size=50), st.integers(0), st.integers(1, 255))
def test_whatever_is_changed_is_not_opened(answer: bytes, about: bytes, place: int, change: int) -> None:
    seal = Seal("k" * 32)
    sealed = seal.close(answer, about)
    assert seal.open(sealed, about) == answer
    changed = bytearray(sealed)
    changed[place % len(sealed)] ^= change
    assert seal.open(bytes(changed), about) is None
    assert seal.open(sealed[:-1], about) is None
    assert seal.open(sealed, about + b"x") is None
    assert Seal("l" * 32).open(sealed, about) is None


def test_the_same_answer_is_never_sealed_the_same() -> None:
    seal = Seal("k" * 32)
    assert seal.close(b"answer", b"") != seal.close(b"answer", b"")
    assert seal.open(b"", b"") is None
    large = b"x" * (4 * 1024 * 1024)
    assert seal.open(seal.close(large, b""), b"") == large


def test_each_purpose_has_a_key_of_its_own_and_none_is_shown() -> None:
    seal = Seal("k" * 32)
    assert len({seal.digest_key, seal.mark, b"k" * 32}) == 3
    assert "kkk" not in repr(seal)
