"""What health says of a GPU: from what a start showed, kept, and from what the driver says now."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stackctl.core.engine.offload import OffloadReport, parse_offload
from stackctl.core.health.gpu_proof import GpuFacts, GpuProof, judge_gpu, parse_proof
from stackctl.core.health.probes import HealthReport, Status
from stackctl.core.machine.gpu import GpuMemory

MIB, GIB = 1 << 20, 1 << 30
PID = 4711

ON_GPU = OffloadReport(33, 33, {"CUDA0": 12 * GIB, "CPU_Mapped": 281 * MIB}, {"CUDA0": "NVIDIA H200"})
PARTLY = OffloadReport(20, 33, {"CUDA0": 6 * GIB, "CPU": 6 * GIB}, {"CUDA0": "NVIDIA H200"})
ON_CPU = OffloadReport(None, 0, {"CPU": 12 * GIB}, {})
SILENT = OffloadReport(None, 0, {}, {})

COUNTED = GpuMemory({PID: 12 * GIB})
OTHERS_ONLY = GpuMemory({1: GIB})
NOBODY = GpuMemory()
SILENT_DRIVER = GpuMemory(answered=False)
UNTOLD = GpuMemory({1: GIB, PID: 0})


def proof(report: OffloadReport, held: int | None = 12 * GIB) -> GpuProof:
    return GpuProof("4711@1", report, held)


@pytest.mark.parametrize(
    ("facts", "status", "words"),
    [
        # What the start showed holds, and the driver still counts the memory.
        (GpuFacts(proof(ON_GPU), memory=COUNTED, pid=PID), Status.OK, "33 of 33 layers"),
        (GpuFacts(proof(ON_GPU), memory=COUNTED, pid=PID), Status.OK, "the driver counts 12.0 GiB"),
        (GpuFacts(proof(PARTLY), memory=COUNTED, pid=PID), Status.WARNING, "the other layers run on the CPU"),
        (GpuFacts(proof(ON_CPU, None), memory=NOBODY, pid=PID), Status.FAILED, "the model runs on the CPU"),
        # AMD, Vulkan, Windows' Linux and containers that see no processes: the driver never counted it.
        (GpuFacts(proof(ON_GPU, None)), Status.OK, "33 of 33 layers"),
        (GpuFacts(proof(ON_GPU, None), memory=NOBODY, pid=PID), Status.OK, "33 of 33 layers"),
        # A GPU that is lost later.
        (GpuFacts(proof(ON_GPU), memory=NOBODY, pid=PID), Status.FAILED, "counts nothing: the GPU was lost"),
        (GpuFacts(proof(ON_GPU), memory=OTHERS_ONLY, pid=PID), Status.FAILED, "the GPU was lost"),
        (GpuFacts(proof(ON_GPU), memory=GpuMemory({PID: GIB}), pid=PID), Status.FAILED, "counts 1.0 GiB"),
        (GpuFacts(proof(ON_GPU), memory=GpuMemory(problem="No devices"), pid=PID), Status.FAILED, "No devices"),
        # A driver that was too slow, does not list processes or does not say how much has lost nothing.
        (GpuFacts(proof(ON_GPU), memory=SILENT_DRIVER, pid=PID), Status.OK, "33 of 33 layers"),
        (GpuFacts(proof(ON_GPU), memory=UNTOLD, pid=PID), Status.OK, "33 of 33 layers"),
        (GpuFacts(None, proof(ON_GPU), SILENT_DRIVER, PID), Status.WARNING, "no driver says"),
        (GpuFacts(None, proof(ON_GPU), UNTOLD, PID), Status.WARNING, "no driver says"),
        (
            GpuFacts(proof(ON_GPU), memory=COUNTED, pid=PID, container_problem="Failed to initialize NVML"),
            Status.FAILED,
            "the container has lost its GPU: Failed to initialize NVML",
        ),
        # The log of this start has turned over before anybody read it.
        (GpuFacts(None, memory=COUNTED, pid=PID), Status.WARNING, "the driver counts 12.0 GiB"),
        (GpuFacts(proof(SILENT), memory=COUNTED, pid=PID), Status.WARNING, "the driver counts 12.0 GiB"),
        (GpuFacts(None, memory=OTHERS_ONLY, pid=PID), Status.FAILED, "the model runs on the CPU"),
        (GpuFacts(None, proof(ON_GPU), NOBODY, PID), Status.FAILED, "the model runs on the CPU"),
        (GpuFacts(None, proof(ON_GPU, None), NOBODY, PID), Status.WARNING, "no driver says"),
        (GpuFacts(None, memory=NOBODY, pid=PID), Status.WARNING, "no driver says"),
        (GpuFacts(None), Status.WARNING, "no driver says"),
    ],
)
def test_only_what_says_cpu_fails(facts: GpuFacts, status: Status, words: str) -> None:
    result = judge_gpu("local-chat", "inference-chat", facts)
    assert result.status is status
    assert words in result.detail
    assert bool(result.hint) is (status is not Status.OK)
    assert HealthReport("process", "GPU", (result,)).status is (
        Status.FAILED if status is Status.FAILED else Status.OK
    ), "a warning stops nobody"


def test_a_lost_gpu_says_what_was_there_and_what_to_do() -> None:
    result = judge_gpu("local-chat", "inference-chat", GpuFacts(proof(ON_GPU), memory=NOBODY, pid=PID))
    assert result.detail == (
        "at its start 33 of 33 layers and 12.0 GiB were on the GPU; now the driver counts nothing: the GPU was lost"
    )
    assert result.hint == "run 'stackctl restart inference-chat'"


def test_layers_that_are_said_to_be_offloaded_into_the_memory_of_the_host_are_not_on_a_gpu() -> None:
    report = parse_offload("load_tensors: offloaded 33/33 layers to GPU\nload_tensors: CPU model buffer size = 9 MiB\n")
    assert (report.offloaded, report.gpu_bytes, report.is_on_gpu) == (33, 0, False)
    assert judge_gpu("m", "inference-m", GpuFacts(proof(report, None))).status is Status.FAILED


names = st.text(max_size=8)
sizes = st.integers(0, 1 << 40)


@given(
    st.builds(
        GpuProof,
        start=names,
        report=st.builds(
            OffloadReport,
            offloaded=st.none() | sizes,
            total=sizes,
            buffers=st.dictionaries(names, sizes, max_size=3),
            devices=st.dictionaries(names, names, max_size=3),
        ),
        held_bytes=st.none() | sizes,
    )
)
def test_a_kept_proof_is_read_as_it_was_written(kept: GpuProof) -> None:
    assert parse_proof(kept.render_text()) == kept


@given(st.text(max_size=200) | st.sampled_from(["{}", '{"start": 1, "report": 5}', "[]", "null", '{"report": null}']))
def test_what_is_no_proof_is_none(text: str) -> None:
    assert parse_proof(text) is None
