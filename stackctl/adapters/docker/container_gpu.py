"""Whether a container that runs has lost its GPU.

In: a container. Out: a sentence, or nothing. Does I/O: runs the driver's own program in the container.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from stackctl.adapters.docker.container_exec import run_inside

if TYPE_CHECKING:
    from docker.models.containers import Container

# A driver that hangs would hold up health for ever: both images that we know of have 'timeout'.
SMI_TIMEOUT_S = 5
ASK_GPU = ("timeout", "-s", "KILL", str(SMI_TIMEOUT_S), "nvidia-smi", "-L")
TIMEOUT_FAILED, NOT_EXECUTABLE, NOT_FOUND, KILLED = 125, 126, 127, 137


def explain_lost_gpu(container: Container) -> str:
    """What the driver's program says in a container whose devices were taken away; empty when it has them.

    An engine that runs keeps what it has opened, so only a new process shows the loss before the next start does.
    """
    done = run_inside(container, ASK_GPU)
    if done.code == KILLED:
        return f"nvidia-smi did not answer within {SMI_TIMEOUT_S} s"
    said = done.stdout.strip() or done.stderr.strip()
    # An image may lack one of the two programs, or have a 'timeout' of its own kind: no word on the GPU.
    is_told = done.code not in (NOT_EXECUTABLE, NOT_FOUND, TIMEOUT_FAILED) and not said.startswith("timeout: ")
    return said.splitlines()[0] if done.code and is_told and said else ""
