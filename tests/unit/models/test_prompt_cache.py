"""The prompt cache: none for many slots, a whole team's conversations for few, and never something in between."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stackctl.core.models.prompt_cache import (
    CONVERSATIONS,
    choose_prompt_cache,
    count_entry_bytes,
    count_free_bytes,
    share_free_bytes,
)
from stackctl.operations.site.load import load_site
from tests.fakes import World, write_env
from tests.gguf_files import build_header

MIB, GIB = 1 << 20, 1 << 30


@pytest.mark.parametrize(
    ("wanted", "entry_bytes", "slots", "free_bytes", "expected"),
    [
        # 32 people at 32 slots: the engine without a cache.
        ("auto", 128 * MIB, 32, 1000 * GIB, 0),
        ("auto", 128 * MIB, 8, 1000 * GIB, 0),
        # A few people more than slots: all of their conversations.
        ("auto", 128 * MIB, 4, 4 * GIB, 1024),
        ("auto", 128 * MIB, 7, 4 * GIB, 1024),
        ("auto", 1, 4, 4 * GIB, 1),
        # Not half of them.
        ("auto", 128 * MIB, 4, 4 * GIB - 1, 0),
        ("auto", 128 * MIB, 4, 0, 0),
        # A setting overrides it.
        ("0", 128 * MIB, 4, 4 * GIB, 0),
        ("512m", 128 * MIB, 32, 0, 512),
        ("8g", 128 * MIB, 4, 0, 8192),
    ],
)
def test_the_rule(wanted: str, entry_bytes: int, slots: int, free_bytes: int, expected: int) -> None:
    assert choose_prompt_cache(wanted, entry_bytes, slots, free_bytes) == expected


@given(st.integers(1, 1 << 40), st.integers(1, 256), st.integers(0, 1 << 44))
def test_it_is_nothing_or_more_than_the_slots_hold(entry_bytes: int, slots: int, free_bytes: int) -> None:
    size = choose_prompt_cache("auto", entry_bytes, slots, free_bytes) * MIB
    assert size == 0 or (size >= CONVERSATIONS * entry_bytes > slots * entry_bytes and size - MIB <= free_bytes / 4)


@pytest.mark.parametrize(("text", "mib"), [("0", 0), ("1k", 1), ("2048k", 2), ("512m", 512), ("3g", 3072)])
def test_sizes_are_whole_mebibytes(text: str, mib: int) -> None:
    assert choose_prompt_cache(text, 1, 4, 0) == mib


def test_an_entry_is_one_slot_of_the_kv_cache() -> None:
    header = build_header()
    assert count_entry_bytes(header, 2048, "f16") * 2 == count_entry_bytes(header, 4096, "f16")
    assert count_entry_bytes(header, 4096, "q8_0") < count_entry_bytes(header, 4096, "f16")


def test_what_the_models_need_is_not_free() -> None:
    header = build_header()
    one, two = (count_free_bytes(64 * GIB, [(header, 4096, 4)] * number, "f16") for number in (1, 2))
    assert 64 * GIB > one > two > 0
    assert count_free_bytes(GIB, [(header, 4096, 4)], "f16") == 0


@pytest.mark.parametrize(
    ("wanted", "share"),
    [
        ([], 12 * GIB),
        ([("auto", 4)], 12 * GIB),
        ([("auto", 4)] * 3, 4 * GIB),
        ([("auto", 4), ("auto", 32), ("0", 4)], 12 * GIB),
        ([("auto", 4), ("4g", 32)], 8 * GIB),
        ([("auto", 4), ("40g", 4)], 0),
    ],
)
def test_what_is_free_is_shared(wanted: list[tuple[str, int]], share: int) -> None:
    assert share_free_bytes(12 * GIB, wanted) == share


def load_caches(memory_bytes: int, stack: str = "", **settings: object) -> dict[str, int]:
    world = World(write_env(CHAT_MODEL="chat.gguf", **settings), stack)
    world.memory_bytes = memory_bytes
    return {model.served_name: model.prompt_cache_mib for model in load_site(world.effects).process.models}


def test_each_model_of_a_site_has_its_own() -> None:
    stack = "models:\n  big: {file: b.gguf, slots: 32}\n  own: {file: o.gguf, prompt_cache: 300m}\n"
    caches = load_caches(256 * GIB, stack)
    assert caches["local-chat"] > 0
    assert (caches["big"], caches["own"], caches["local-embed"]) == (0, 300, 0)
    assert set(load_caches(1 * GIB).values()) == {0}
    five = "models:\n" + "".join(f"  m{number}: {{file: {number}.gguf}}\n" for number in range(4))
    assert [len([size for size in load_caches(gib * GIB, five).values() if size]) for gib in (128, 256)] == [0, 5]
    assert sum(load_caches(256 * GIB, five).values()) * MIB <= 64 * GIB
    assert load_caches(256 * GIB, PROMPT_CACHE="0")["local-chat"] == 0
    assert load_caches(1 * GIB, PROMPT_CACHE="512m")["local-chat"] == 512
