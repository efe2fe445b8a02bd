"""What nvidia-smi and the engine's log print, in the forms seen on healthy, old, cut-up and broken hosts."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stackctl.core.engine.offload import check_offload, parse_offload
from stackctl.core.machine.gpu import (
    Gpu,
    add_slices,
    explain_driver_mismatch,
    explain_old_gpu,
    explain_smi_failure,
    find_driver_cuda,
    parse_cuda_version,
    parse_gpu_processes,
    parse_image_cuda,
    parse_mig_slices,
    parse_nvidia_smi,
    parse_version,
)
from stackctl.errors import Severity

MIB = 1 << 20
GIB = 1 << 30

H200 = "0, GPU-1a2b, NVIDIA H200, 580.65.06, 143771, 1024, 9.0\n"
TWO = "0, GPU-a, NVIDIA GeForce RTX 3060, 535.183.01, 12288, 300, 8.6\n1, GPU-b, Tesla P4, 535.183.01, 7680, 0, 6.1\n"
MIG = "0, GPU-m, NVIDIA H200, 580.65.06, 143771, [N/A], 9.0\n"
MIG_LIST = """GPU 0: NVIDIA H200 (UUID: GPU-m)
  MIG 3g.71gb     Device  0: (UUID: MIG-1)
  MIG 1g.18gb+me  Device  1: (UUID: MIG-2)
GPU 1: NVIDIA H200 (UUID: GPU-n)
"""
BROKEN = (
    "NVIDIA-SMI has failed because it couldn't communicate with the NVIDIA driver. Make sure that the latest "
    "NVIDIA driver is installed and running.\n"
)


def build_gpu(driver: str = "580.65.06", capability: tuple[int, ...] = (9, 0)) -> Gpu:
    return Gpu("nvidia", 0, "Card", driver_version=driver, compute_capability=capability)


# nvidia-smi


def test_one_gpu() -> None:
    (gpu,) = parse_nvidia_smi(H200)
    assert (gpu.index, gpu.uuid, gpu.name, gpu.driver_version) == (0, "GPU-1a2b", "NVIDIA H200", "580.65.06")
    assert gpu.memory_free_bytes == (143771 - 1024) * MIB
    assert gpu.compute_capability == (9, 0)


def test_several_gpus_and_a_name_with_a_comma() -> None:
    assert [gpu.name for gpu in parse_nvidia_smi(TWO)] == ["NVIDIA GeForce RTX 3060", "Tesla P4"]
    (gpu,) = parse_nvidia_smi("0, GPU-c, Quadro, special, 535.1, 100, 0, 8.6\n")
    assert (gpu.name, gpu.driver_version) == ("Quadro, special", "535.1")


def test_mig_slices_give_their_own_memory() -> None:
    (gpu,) = add_slices(parse_nvidia_smi(MIG), parse_mig_slices(MIG_LIST))
    assert gpu.memory_used_bytes is None
    assert [part.profile for part in gpu.slices] == ["3g.71gb", "1g.18gb+me"]
    assert gpu.memory_free_bytes == 71 * GIB


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (BROKEN, "installed but not loaded"),
        ("Failed to initialize NVML: Driver/library version mismatch\nNVML library version: 580.65", "reboot"),
        ("No devices were found", "sees no GPU"),
        ("Segmentation fault", ""),
    ],
)
def test_a_broken_driver_is_put_in_words(text: str, words: str) -> None:
    assert parse_nvidia_smi(text) == ()
    explained = explain_smi_failure(text)
    assert words in explained
    assert bool(explained) == bool(words)


@given(st.text(max_size=300))
def test_any_output_is_survived(text: str) -> None:
    parse_nvidia_smi(text)
    parse_mig_slices(text)
    parse_gpu_processes(text)
    parse_cuda_version(text)
    parse_version(text)
    parse_offload(text)
    parse_image_cuda(text)


def test_memory_by_process() -> None:
    assert parse_gpu_processes("4711, 9000\n4711, 24\n12, [N/A]\n\n") == {4711: 9024 * MIB, 12: 0}


# CUDA


def test_banner_and_table_agree_on_the_newest_cuda() -> None:
    banner = "| NVIDIA-SMI 580.65.06    Driver Version: 580.65.06    CUDA Version: 13.0     |"
    assert parse_cuda_version(banner) == find_driver_cuda("580.65.06") == (13, 0)
    assert parse_cuda_version("nothing") == ()


@pytest.mark.parametrize(
    ("driver", "cuda"),
    [("535.183.01", (12, 2)), ("570.10", (12, 8)), ("999.1", (13, 1)), ("390.1", ()), ("", ())],
)
def test_newest_cuda_of_a_driver(driver: str, cuda: tuple[int, ...]) -> None:
    assert find_driver_cuda(driver) == cuda


@pytest.mark.parametrize(
    ("driver", "cuda", "refused"),
    [
        ("525.60.13", (12, 8), False),
        ("525.60.11", (12, 8), True),
        ("470.82.01", (12, 8), True),
        ("580.65.06", (13, 0), False),
        ("575.57.08", (13, 0), True),
        ("581.29", (13, 0), False),
        ("", (13, 0), False),
        ("470.82.01", (), False),
    ],
)
def test_driver_against_image(driver: str, cuda: tuple[int, ...], refused: bool) -> None:
    assert bool(explain_driver_mismatch(build_gpu(driver), cuda)) == refused


def test_a_refused_driver_is_told_what_it_runs_and_what_is_needed() -> None:
    text = explain_driver_mismatch(build_gpu("575.57.08"), (13, 0))
    assert text == "driver 575.57.08 of Card is too old and runs CUDA 12.9 at most; CUDA 13 needs 580 or newer"


@pytest.mark.parametrize(
    ("capability", "cuda", "refused"),
    [((6, 1), (12, 8), False), ((6, 1), (13, 0), True), ((7, 5), (13, 0), False), ((3, 5), (12, 8), True)],
)
def test_old_gpus_against_the_image(capability: tuple[int, ...], cuda: tuple[int, ...], refused: bool) -> None:
    assert bool(explain_old_gpu(build_gpu(capability=capability), cuda)) == refused


@pytest.mark.parametrize(
    ("image", "cuda"),
    [
        ("ghcr.io/ggml-org/llama.cpp:server-cuda-b11347", (12, 8)),
        ("ghcr.io/ggml-org/llama.cpp:server-cuda", (12, 8)),
        ("ghcr.io/ggml-org/llama.cpp:server-cuda13-b11347", (13, 0)),
        ("nvidia/cuda:13.0.1-runtime", (13, 0)),
        ("mirror.example/llama:cuda12.4", (12, 4)),
        ("ghcr.io/ggml-org/llama.cpp:server-b11347", ()),
        ("ghcr.io/ggml-org/llama.cpp:server-vulkan", ()),
    ],
)
def test_cuda_of_an_image(image: str, cuda: tuple[int, ...]) -> None:
    assert parse_image_cuda(image) == cuda


# The engine's log

NEW_LOG = """0.00.006.359 I cmn  common_param: device_info:
0.00.009.1 I llama_model_load_from_file_impl: using device CUDA0 (NVIDIA H200) (0000:05:00.0) - 142000 MiB free
0.00.100.1 I load_tensors: loading model tensors, this can take a while... (mmap = true)
0.00.200.1 I load_tensors: offloading output layer to GPU
0.00.200.2 I load_tensors: offloading 31 repeating layers to GPU
0.00.200.3 I load_tensors: offloaded 33/33 layers to GPU
0.00.200.4 I load_tensors:   CPU_Mapped model buffer size =   281.81 MiB
0.00.200.5 I load_tensors:        CUDA0 model buffer size =  4095.05 MiB
0.00.300.1 I llama_context:  CUDA_Host  output buffer size =     1.95 MiB
0.00.300.2 I llama_kv_cache:      CUDA0 KV buffer size =  1024.00 MiB
0.00.300.3 I sched_reserve:      CUDA0 compute buffer size =   258.50 MiB
"""
OLD_LOG = """llm_load_tensors: offloading 20 repeating layers to GPU
llm_load_tensors: offloaded 20/41 layers to GPU
llm_load_tensors:        CPU buffer size =  1640.62 MiB
llm_load_tensors:      CUDA0 buffer size =  5434.38 MiB
llm_load_tensors:      CUDA1 buffer size = 13989.53 MiB
"""
CPU_LOG = """0.1 I load_tensors: loading model tensors, this can take a while... (mmap = true)
0.1 I load_tensors:   CPU_Mapped model buffer size =   161.02 MiB
0.1 I llama_kv_cache:        CPU KV buffer size =    32.00 MiB
"""


def test_a_full_offload() -> None:
    report = parse_offload(NEW_LOG)
    assert (report.offloaded, report.total, report.is_on_gpu) == (33, 33, True)
    assert report.gpu_bytes == round(4095.05 * MIB) + 1024 * MIB + round(258.5 * MIB)
    assert report.devices == {"CUDA0": "NVIDIA H200"}
    finding = check_offload("local-chat", report, expects_gpu=True, held_bytes=6 * GIB)
    assert finding.severity is Severity.OK
    assert "33 of 33 layers on CUDA0 (NVIDIA H200), 5.3 GiB" in finding.message


def test_the_last_load_counts_when_a_log_holds_two() -> None:
    fitted = NEW_LOG.replace("33/33", "10/33") + "\x1b[32mload_tensors\x1b[0m: noise\n" + NEW_LOG
    assert parse_offload(fitted) == parse_offload(NEW_LOG)


def test_a_partial_offload_in_older_words_is_a_warning() -> None:
    report = parse_offload(OLD_LOG)
    assert (report.offloaded, report.total) == (20, 41)
    assert set(report.buffers) == {"CPU", "CUDA0", "CUDA1"}
    assert check_offload("m", report, expects_gpu=True).severity is Severity.WARNING


def test_a_model_on_the_cpu_fails_when_a_gpu_is_expected() -> None:
    report = parse_offload(CPU_LOG)
    assert (report.offloaded, report.is_on_gpu, report.has_evidence) == (None, False, True)
    assert check_offload("m", report, expects_gpu=True).severity is Severity.ERROR
    assert check_offload("m", report, expects_gpu=False).severity is Severity.OK
    none = parse_offload(NEW_LOG.replace("33/33", "0/33").replace("CUDA0 ", "CPU "))
    assert "0 of 33 layers" in check_offload("m", none, expects_gpu=True).message


def test_a_silent_log_is_no_proof_and_a_lost_gpu_is_seen() -> None:
    silent = check_offload("m", parse_offload("server is listening\n"), expects_gpu=True)
    assert (silent.severity, "LOG_VERBOSITY" in silent.hint) == (Severity.WARNING, True)
    lost = check_offload("m", parse_offload(NEW_LOG), expects_gpu=True, held_bytes=0)
    assert (lost.severity, "driver counts only 0.0 GiB" in lost.message) == (Severity.WARNING, True)
