"""What ``models recommend`` judges by: the memory that the engine will really have, and no other."""

from __future__ import annotations

from dataclasses import replace

import pytest

from stackctl.core.machine.gpu import Gpu, MigSlice
from stackctl.core.machine.host import Host
from stackctl.core.models.fit import GATEWAY_BYTES, GIB
from stackctl.operations.models.recommend import Recommendation, recommend_models
from tests.fakes import DOCKER, World, write_env

OLD = Gpu("nvidia", 0, "NVIDIA Old", uuid="GPU-old", memory_total_bytes=40 * GIB, memory_used_bytes=39 * GIB)
NEW = Gpu("nvidia", 1, "NVIDIA New", uuid="GPU-new", memory_total_bytes=24 * GIB, memory_used_bytes=0)
SHARED = Gpu("nvidia", 0, "NVIDIA GB10")
SLICED = replace(NEW, slices=(MigSlice("MIG-1", "1g.6gb", 6 * GIB), MigSlice("MIG-2", "2g.12gb", 12 * GIB)))


def recommend(
    world: World, *gpus: Gpu, docker: bool = True, memory_gib: int = 64, **settings: object
) -> Recommendation:
    world.files[world.effects.paths.site / ".env"] = write_env(**settings)
    world.host = Host(
        memory_total_bytes=64 * GIB,
        memory_available_bytes=memory_gib * GIB,
        gpus=gpus,
        docker=DOCKER if docker else None,
    )
    return recommend_models(world.effects)


def test_all_gpus_count_because_the_engine_spreads_a_model_over_them(world: World) -> None:
    found = recommend(world, OLD, NEW)
    assert found.device == "NVIDIA Old and NVIDIA New, 24.5 GiB free together"
    assert found.available_bytes < OLD.memory_free_bytes + NEW.memory_free_bytes  # each driver takes its share


@pytest.mark.parametrize("devices", ["0", "GPU-old"])
def test_a_gpu_that_is_not_to_be_used_does_not_count(world: World, devices: str) -> None:
    found = recommend(world, OLD, NEW, GPU_DEVICES=devices)
    assert found.device == "NVIDIA Old, 1.0 GiB free"
    assert found.plans == ()


def test_of_a_gpu_in_slices_one_counts(world: World) -> None:
    assert recommend(world, SLICED).available_bytes == 12 * GIB


def test_a_gpu_without_memory_of_its_own_has_the_machines(world: World) -> None:
    found = recommend(world, SHARED)
    assert found.device == "NVIDIA GB10 on this machine's memory, 63.6 GiB free"
    assert {plan.names[0] for plan in found.plans} == {"qwen3-32b", "qwen2.5-coder-32b-q8"}


def test_a_gpu_that_others_have_filled_has_no_room(world: World) -> None:
    full = replace(OLD, memory_used_bytes=OLD.memory_total_bytes)
    assert recommend(world, full).plans == ()


def test_a_gpu_that_the_engine_leaves_alone_does_not_count(world: World) -> None:
    found = recommend(world, NEW, docker=False, memory_gib=8)
    assert found.device.startswith("this machine's memory")
    assert "leaves the GPU alone" in found.device
    assert found.available_bytes < 8 * GIB
    assert recommend(world, NEW, STACK_RUNTIME="compose").available_bytes == 24 * GIB


def test_without_a_gpu_this_machines_memory_counts(world: World) -> None:
    found = recommend(world, memory_gib=8)
    assert found.device == "this machine's memory, 7.6 GiB free beside the gateway"
    assert found.available_bytes == 8 * GIB - GATEWAY_BYTES
    assert {plan.use: plan.names[0] for plan in found.plans} == {"chat": "qwen3-8b", "code": "qwen2.5-coder-7b"}
