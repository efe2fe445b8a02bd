"""What is kept is sealed as NIST's vectors say, and opened by the same key alone."""

from __future__ import annotations

import pytest
from gateway.cache.seal import Seal, SealError, _load, decrypt, encrypt
from hypothesis import given
from hypothesis import strategies as st

# NIST SP 800-38D, the vectors of McGrew and Viega: test cases 13, 14 and 16.
KEY = "feffe9928665731c6d6a8f9467308308feffe9928665731c6d6a8f9467308308"
TEXT = (
    "d9313225f88406e5a55909c5aff5269a86a7a9531534f7da2e4c303d8a318a72"
    "1c3c0c95956809532fcf0e2449a6b525b16aedf5aa0de657ba637b39"
)
SEALED = (
    "522dc1f099567d07f47f37a32a84427d643a8cdcbfe5c0c97598a2bd2555d1aa"
    "8cb08e48590dbb3da7b08b1056828838c5f61e6393ba7a0abcc9f662"
)
VECTORS = [
    ("00" * 32, "00" * 12, "", "", "", "530f8afbc74536b9a963b4f1c4cb738b"),
    ("00" * 32, "00" * 12, "00" * 16, "", "cea7403d4d606b6e074ec5d3baf39d18", "d0d1c8a799996bf0265b98b5d48ab919"),
    (
        KEY,
        "cafebabefacedbaddecaf888",
        TEXT,
        "feedfacedeadbeeffeedfacedeadbeefabaddad2",
        SEALED,
        "76fc6ece0f4e1768cddf8853bb2d551b",
    ),
]


@pytest.mark.parametrize(("key", "nonce", "text", "about", "sealed", "tag"), VECTORS)
def test_it_is_aes_256_gcm(key: str, nonce: str, text: str, about: str, sealed: str, tag: str) -> None:
    library = _load()
    given_key, given_nonce, given_about = bytes.fromhex(key), bytes.fromhex(nonce), bytes.fromhex(about)
    assert encrypt(library, given_key, given_nonce, bytes.fromhex(text), given_about).hex() == sealed + tag
    assert decrypt(library, given_key, given_nonce, bytes.fromhex(sealed + tag), given_about) == bytes.fromhex(text)


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
    assert len({seal._key, seal.digest_key, seal.mark, b"k" * 32}) == 4
    assert "kkk" not in repr(seal)


def test_without_libcrypto_nothing_is_sealed(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(name: str) -> None:
        raise OSError(name)

    monkeypatch.setattr("ctypes.CDLL", refuse)
    with pytest.raises(SealError, match="no libcrypto"):
        Seal("k" * 32)
