"""One service as Compose runs it, as values that the templates show. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from stackctl.core.stack.engine_start import GPU_LOG_VERBOSITY

# The file system in memory that every container has.
TMP = "/tmp:rw,noexec,nosuid,nodev,size=256m,mode=1777"  # noqa: S108  # the container's own


@dataclass(frozen=True, slots=True)
class Mount:
    """One file of the host, mounted read-only in the container.

    Attributes:
        source: absolute path, or name of a rendered file.
        is_rendered: whether the file lies beside the Compose file, wherever the project's folder is.
        selinux: label for containers, "z"; empty leaves the file's own.
        create_host_path: what Compose does where the file is not there. With it off, Compose (2.40) does not hand
            ``selinux`` on to the Docker engine; that every file is there was checked before.
    """

    source: str
    target: str
    selinux: str = ""
    is_rendered: bool = False

    @property
    def create_host_path(self) -> str:
        """The value of ``create_host_path`` as a YAML boolean."""
        return "true" if self.selinux else "false"


@dataclass(frozen=True, slots=True)
class Container:
    """One service as Compose runs it; field names are Compose's where it has one.

    Attributes:
        entrypoint, command: words that replace the image's own; empty leaves those.
        environment: literal value of each variable, by name.
        secrets: variable that Compose takes the value from, by the name in the container.
        ports: published ports as ``address:port:port``.
        name_servers: addresses of name servers; empty leaves the Docker engine's own, which know the whole world's
            names.
        mem_limit: memory limit in bytes, 0 for none.
        start_period_s: seconds that the health check may fail before it counts.
        gpu_images: image that replaces this one, by accelerator.
        user: user and group that it runs as, ``UID:GID``.
        tmpfs: file systems in memory, in Compose's short form.
        log_verbosity: verbosity of an engine on a GPU; empty where a variable of `.env` says it, and for vLLM.
        memlock: bytes that may be locked, -1 for no limit; ``None`` leaves the Docker engine's default.
        shm_size: bytes of shared memory, 0 leaves the Docker engine's default.
        capabilities: what the container keeps of root's rights for its programs' files, without CAP.
        stop_signal: signal that ends it; empty leaves the image's own.
    """

    name: str
    image: str
    pull_policy: str
    entrypoint: tuple[str, ...]
    command: tuple[str, ...]
    environment: Mapping[str, str]
    secrets: Mapping[str, str]
    ports: tuple[str, ...]
    networks: tuple[str, ...]
    name_servers: tuple[str, ...]
    mounts: tuple[Mount, ...]
    healthcheck: tuple[str, ...]
    mem_limit: int
    pids_limit: int
    start_period_s: int
    stop_grace_period_s: int
    reaches_host: bool
    digest: str
    gpu_images: Mapping[str, str]
    user: str
    sees_gpus: bool = False
    tmpfs: tuple[str, ...] = (TMP,)
    volumes: Mapping[str, str] = field(default_factory=dict)
    log_verbosity: str = GPU_LOG_VERBOSITY
    memlock: int | None = None
    shm_size: int = 0
    capabilities: tuple[str, ...] = ()
    stop_signal: str = ""
