"""Memory figures: equal to what llama.cpp logged, monotone, and honest about what is unknown."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stackctl.core.models.fit import GIB, MIB, Device, build_fit, default_context, largest_context
from stackctl.core.models.gguf import GGUFHeader
from stackctl.core.models.kv_cache import KV_CACHE_TYPES, build_cache_cost
from stackctl.errors import ConfigError
from tests.gguf_files import build_header


def kv_mib(header: GGUFHeader, context: int, slots: int, kind: str = "f16") -> float:
    return build_cache_cost(header, kind).compute_bytes(context, slots) / MIB


# Context per slot, slots, and MiB of KV cache that llama.cpp (November 2026) logged for this shape.
TINY = {"block_count": 2, "head_count_kv": (4,), "key_length": 64, "value_length": 64}
GEMMA = {
    "architecture": "gemma2",
    "block_count": 6,
    "head_count_kv": (2,),
    "key_length": 32,
    "value_length": 32,
    "key_length_swa": 32,
    "value_length_swa": 32,
    "sliding_window": 1024,
}
LOGGED = [
    (TINY, 2048, 4, 16.0),
    (TINY, 666, 3, 4.5),
    (TINY, 65536, 1, 128.0),
    ({**TINY, "block_count": 4}, 2048, 4, 32.0),
    (GEMMA, 32768, 1, 25.125),
    (GEMMA, 8192, 4, 28.5),
    (GEMMA, 1024, 2, 3.0),
]


@pytest.mark.parametrize(("shape", "context", "slots", "logged"), LOGGED)
def test_kv_cache_equals_the_engine_s_own_figure(
    shape: dict[str, object], context: int, slots: int, logged: float
) -> None:
    assert kv_mib(build_header(**shape), context, slots) == logged


def test_an_8b_model_with_four_slots_of_8k() -> None:
    fit = build_fit(build_header(), 8192, 4, Device(16 * GIB))
    assert fit.kv_bytes == 4 * GIB
    assert fit.weights_bytes == 4_900_000_000
    assert fit.fits
    assert fit.needed_bytes == fit.weights_bytes + fit.kv_bytes + fit.compute_bytes + fit.margin_bytes


def test_the_text_shows_every_part_against_what_there_is() -> None:
    text = build_fit(build_header(), 8192, 4, Device(6 * GIB)).render_text()
    assert "weights 4.6, KV cache 4.0, compute 0.2" in text
    assert text.endswith("of 6.0 GiB")


def test_a_quantised_cache_is_smaller_by_its_blocks() -> None:
    header = build_header()
    assert kv_mib(header, 8192, 1, "q8_0") == kv_mib(header, 8192, 1) * 34 / 64
    assert kv_mib(header, 8192, 1, "f32") == kv_mib(header, 8192, 1) * 2


def test_an_unknown_cache_type_is_an_error_that_lists_the_known_ones() -> None:
    with pytest.raises(ConfigError, match=r"'q9'.*q8_0"):
        build_cache_cost(build_header(), "q9")


def test_heads_may_differ_by_layer() -> None:
    uneven = build_header(block_count=4, head_count_kv=(8, 0, 8, 0))
    assert kv_mib(uneven, 1024, 1) == kv_mib(build_header(block_count=2), 1024, 1)


def test_a_hybrid_has_a_cache_in_every_nth_layer_and_a_state_in_each_slot() -> None:
    hybrid = build_header(architecture="qwen3next", full_attention_interval=4, state_bytes_per_layer=MIB)
    assert kv_mib(hybrid, 1024, 2) == kv_mib(build_header(block_count=8), 1024, 2) + 2 * 32


def test_a_purely_recurrent_model_needs_no_more_for_more_context() -> None:
    mamba = build_header(architecture="mamba", state_bytes_per_layer=MIB)
    assert kv_mib(mamba, 256, 1) == kv_mib(mamba, 131_072, 1) == 32


def test_compressed_kv_has_no_values() -> None:
    mla = build_header(architecture="deepseek2", head_count_kv=(1,), key_length=576, has_compressed_kv=True)
    assert kv_mib(mla, 1024, 1) == 32 * 576 * 2 * 1024 / MIB


def test_an_encoder_has_no_cache() -> None:
    assert kv_mib(build_header(architecture="bert"), 8192, 4) == 0


def test_layers_that_share_a_cache_count_once() -> None:
    assert kv_mib(build_header(shared_kv_layers=20), 1024, 1) == kv_mib(build_header(block_count=12), 1024, 1)


def test_a_pattern_in_the_file_wins_over_the_built_in_one() -> None:
    listed = build_header(**{**GEMMA, "swa_pattern": (True, True, True, True, True, False)})
    period = build_header(**{**GEMMA, "swa_pattern": (6,)})
    assert kv_mib(listed, 32768, 1) == kv_mib(period, 32768, 1) < kv_mib(build_header(**GEMMA), 32768, 1)


def test_a_period_of_zero_is_a_window_in_every_layer() -> None:
    every = build_header(**{**GEMMA, "swa_pattern": (0,)})
    assert kv_mib(every, 32768, 1) == kv_mib(every, 131_072, 1)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"sliding_window": 4096}, "sliding-window layers are counted with the whole context"),
        ({"architecture": "jamba"}, "recurrent layers are counted as if"),
        ({"architecture": "llama99"}, "'llama99' is unknown"),
        ({"has_compressed_kv": True}, "MLA"),
    ],
)
def test_what_is_not_understood_is_counted_from_above_and_said(changes: dict[str, object], words: str) -> None:
    header = build_header(**changes)
    assert any(words in note for note in build_fit(header, 8192, 1, Device(GIB)).notes)


def test_gpu_layers_take_their_share() -> None:
    whole = build_fit(build_header(), 8192, 1, Device(80 * GIB, is_gpu=True))
    part = build_fit(build_header(), 8192, 1, Device(80 * GIB, is_gpu=True, gpu_layers=11))
    assert part.weights_bytes == pytest.approx(whole.weights_bytes / 3, rel=0.001)
    assert part.kv_bytes == pytest.approx(whole.kv_bytes / 3, rel=0.001)
    assert build_fit(build_header(), 8192, 1, Device(GIB, is_gpu=True, gpu_layers=99)) == replace(
        whole, available_bytes=GIB
    )


# The largest context

slots_and_memory = {
    "slots": st.integers(1, 16),
    "memory": st.integers(0, 100 * GIB),
    "kind": st.sampled_from(sorted(KV_CACHE_TYPES)),
    "window": st.sampled_from([0, 1024]),
}


@given(**slots_and_memory)
def test_the_largest_context_fits_and_the_next_one_does_not(slots: int, memory: int, kind: str, window: int) -> None:
    header = build_header(architecture="gpt-oss", sliding_window=window)
    device = Device(memory)
    largest = largest_context(header, slots, device, kind)
    assert 0 <= largest <= header.context_length
    assert largest % 256 == 0
    if largest:
        assert build_fit(header, largest, slots, device, kind).fits
    if largest < header.context_length:
        assert not build_fit(header, largest + 256, slots, device, kind).fits


@given(context=st.integers(1, 131_072), slots=st.integers(1, 64))
def test_more_context_or_slots_never_need_less(context: int, slots: int) -> None:
    header, device = build_header(), Device(0)
    needed = build_fit(header, context, slots, device).needed_bytes
    assert build_fit(header, context + 1, slots, device).needed_bytes >= needed
    assert build_fit(header, context, slots + 1, device).needed_bytes > needed


def test_a_short_training_context_is_the_limit() -> None:
    header = build_header(context_length=1000)
    assert largest_context(header, 1, Device(80 * GIB)) == 1000
    assert largest_context(header, 1, Device(1)) == 0


@pytest.mark.parametrize(
    ("trained", "largest", "expected"),
    [(131_072, None, 8192), (2048, None, 2048), (131_072, 4096, 4096), (0, None, 8192), (131_072, 0, 8192)],
)
def test_default_context(trained: int, largest: int | None, expected: int) -> None:
    assert default_context(build_header(context_length=trained), largest) == expected
