"""vLLM's command line: how many GPUs its own arguments spread a model over."""

from __future__ import annotations

import pytest

from stackctl.core.engine.engines import EngineParameters
from stackctl.core.engine.vllm import VllmParameters, build_process_environment, build_vllm_arguments, count_gpus


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ((), 1),
        (("--tensor-parallel-size", "2"), 2),
        (("--tensor-parallel-size=4",), 4),
        (("-tp", "2", "-pp", "2"), 4),
        (("-tp", "many"), 1),
        (("-tp",), 1),
    ],
)
def test_gpus_are_counted_from_the_arguments(arguments: tuple[str, ...], expected: int) -> None:
    assert count_gpus(arguments) == expected


def test_an_embedding_model_is_pooled_and_what_the_operator_adds_comes_last() -> None:
    parameters = EngineParameters("/m", "e", "::1", 1, 512, 2, mode="embedding", extra_arguments=("--dtype", "half"))
    words = build_vllm_arguments(parameters, VllmParameters())
    assert words[-4:] == ("--runner", "pooling", "--dtype", "half")
    assert "--middleware" not in words


@pytest.mark.parametrize(("kv_bytes", "expected"), [(0, "1"), (1 << 30, "1"), ((1 << 30) + 1, "2")])
def test_a_cpu_s_cache_is_given_in_whole_gib(kv_bytes: int, expected: str) -> None:
    assert build_process_environment("/s", kv_bytes, "/code")["VLLM_CPU_KVCACHE_SPACE"] == expected
