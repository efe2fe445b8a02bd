"""What a container, a service or taskset leaves of a machine to the processes in it. Pure."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Limits:
    """What this process and all that it starts may use together; None where nothing bounds it.

    Attributes:
        cpus: processors, where they are fewer than the machine has cores: an engine that starts a thread for each core
            of the machine would then be stopped by the kernel most of the time.
        memory_bytes: bytes at which the kernel kills; ``memory_left_bytes``: how many of them nobody uses yet.
    """

    cpus: int | None = None
    memory_bytes: int | None = None
    memory_left_bytes: int | None = None

    def bound_memory(self, total_bytes: int) -> int:
        """What of so many bytes of the machine counts for processes; 0 stays 0, which says that it is not known."""
        return total_bytes if self.memory_bytes is None else min(total_bytes, self.memory_bytes)
