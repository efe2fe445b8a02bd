"""What ``up`` decided, kept for the commands after it: which runtime and which device. Pure."""

from __future__ import annotations

from dataclasses import dataclass

from stackctl.core.machine.host import RuntimeName


@dataclass(frozen=True, slots=True)
class SiteState:
    """What ``up`` chose for the running stack.

    Attributes:
        gpu: what the engines were given: "none", "nvidia", "amd" or "vulkan".
        device: what the engines compute on, in words, with the reason.
        project: Compose's project name when the stack was started.
        release: title of the installed release that the stack was started from; empty where there was none.
        site: path of the site's folder when the stack was started.
        gpu_access: how containers reach an NVIDIA GPU: "toolkit" or "cdi".
    """

    runtime: RuntimeName
    gpu: str
    device: str
    project: str
    release: str = ""
    site: str = ""
    gpu_access: str = ""

    @property
    def by_cdi(self) -> bool:
        """Whether containers get NVIDIA's GPUs as CDI devices."""
        return self.gpu_access == "cdi"
