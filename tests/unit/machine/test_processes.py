"""Asking the NVIDIA driver what processes hold, by its program, which may be slow, limited, broken or gone."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from stackctl.adapters.machine.commands import TIMED_OUT
from stackctl.adapters.machine.processes import load_gpu_memory
from stackctl.core.machine.gpu import GpuMemory
from stackctl.core.stack.runtime import CompletedCommand

MIB = 1 << 20
LISTED = (0, "GPU 0: NVIDIA H200 (UUID: GPU-1a2b)\n")
BROKEN = (9, "NVIDIA-SMI has failed because it couldn't communicate with the NVIDIA driver.\n")


@pytest.mark.parametrize(
    ("processes", "listing", "expected"),
    [
        ((0, "4711, 9000\n12, [N/A]\n"), LISTED, GpuMemory({4711: 9000 * MIB, 12: 0})),
        ((0, ""), LISTED, GpuMemory()),
        ((6, "Not Supported\n"), LISTED, GpuMemory(answered=False)),
        ((TIMED_OUT, ""), LISTED, GpuMemory(answered=False)),
        ((BROKEN), (TIMED_OUT, ""), GpuMemory(answered=False)),
        (BROKEN, BROKEN, GpuMemory(problem="the NVIDIA driver is installed but not loaded")),
        (BROKEN, (15, "GPU is lost.\nmore\n"), GpuMemory(problem="GPU is lost.")),
        (BROKEN, (3, ""), GpuMemory(problem="nvidia-smi ended with code 3")),
    ],
)
def test_a_lost_driver_is_told_from_one_that_does_not_tell(
    processes: tuple[int, str], listing: tuple[int, str], expected: GpuMemory
) -> None:
    def run(argv: Sequence[str], timeout_s: float) -> CompletedCommand:
        code, stdout = listing if argv[1] == "-L" else processes
        return CompletedCommand(tuple(argv), code, stdout)

    assert load_gpu_memory(run, lambda name: f"/usr/bin/{name}") == expected


def test_a_driver_whose_program_is_gone_is_a_problem() -> None:
    asked: list[Sequence[str]] = []
    memory = load_gpu_memory(lambda argv, timeout_s: asked.append(argv) or CompletedCommand((), 0), lambda name: None)  # type: ignore[func-returns-value]
    assert (memory.problem, asked) == ("nvidia-smi is no longer there", [])
