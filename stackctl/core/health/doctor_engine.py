"""Whether Docker, Compose and the GPU can do what the stack asks of them.

In: a ``DoctorInput``. Out: findings, each with a fix. Pure.
"""

from __future__ import annotations

from typing import Final

from stackctl.core.health.doctor_input import DoctorInput
from stackctl.core.machine.docker_facts import DockerFacts, explain_docker_fix, explain_no_compose
from stackctl.core.machine.gpu import Gpu, explain_driver_mismatch, explain_old_gpu, find_driver_cuda, parse_version
from stackctl.errors import Finding, Severity

_INSTALL_TOOLKIT: Final = (
    "install the nvidia-container-toolkit package, then run 'sudo nvidia-ctk runtime configure "
    "--runtime=docker' and 'sudo systemctl restart docker'"
)
_CONFIGURE_TOOLKIT: Final = (
    "run 'sudo nvidia-ctk runtime configure --runtime=docker' and 'sudo systemctl restart docker'"
)

# Docker 28.2 is the first that lists CDI devices in what 'docker info' says.
_LISTS_CDI: Final = (28, 2)
_RESTART_DOCKER: Final = "run 'sudo systemctl restart docker', or set GPU_ACCESS=auto"


def check_runtime(facts: DoctorInput) -> tuple[Finding, ...]:
    """Check the Docker engine and Compose, as far as the runtime needs them."""
    docker = facts.host.docker
    if facts.runtime_wanted == "process":
        return (_ok("runtime", "processes on this machine, as STACK_RUNTIME says; Docker is not needed"),)
    problem = explain_no_compose(docker)
    findings = []
    if problem:
        severity = Severity.ERROR if facts.runtime_wanted == "compose" else Severity.WARNING
        # A machine without any Docker is a normal one for STACK_RUNTIME=auto.
        if docker is None and severity is Severity.WARNING:
            return (_ok("runtime", f"processes on this machine: {problem}"),)
        findings.append(Finding("Docker", problem, explain_docker_fix(docker), severity))
    elif docker:
        text = f"Docker {docker.server_version}, Compose {docker.compose_version}"
        findings.append(_ok("Docker", f"{text}, {docker.operating_system or 'unknown system'}"))
    if docker and docker.legacy_compose_version and not problem:
        version = docker.legacy_compose_version
        message = f"docker-compose {version} is installed, too; it is not used and cannot read our files"
        findings.append(Finding("Docker", message, "use 'docker compose' (two words)", Severity.WARNING))
    if docker and docker.storage_driver == "vfs":
        message = "the storage driver vfs copies every layer of every image in full"
        findings.append(Finding("Docker", message, "let the engine use overlay2", Severity.WARNING))
    return tuple(findings)


def check_gpu(facts: DoctorInput) -> tuple[Finding, ...]:
    """Check the chosen GPU, its driver against the image, and the way from the container to it."""
    host, kind = facts.host, facts.gpu.value
    if kind == "none":
        return _check_no_gpu(facts)
    gpus = facts.select_gpus()
    if not gpus:
        return (_explain_no_gpu(facts, kind),)
    findings = [finding for gpu in gpus for finding in _check_image_for(gpu, facts)]
    if kind == "nvidia" and facts.runtime == "compose":
        findings.extend(_check_nvidia_in_containers(facts))
    if kind == "amd" and not host.has_kfd:
        message = "/dev/kfd is missing, so ROCm cannot reach the GPU"
        findings.append(Finding("GPU", message, "load the amdgpu driver, or set STACK_GPU=vulkan"))
    if kind in ("amd", "vulkan") and facts.runtime == "compose" and host.is_docker_desktop:
        message = "Docker Desktop passes only NVIDIA GPUs into containers"
        findings.append(Finding("GPU", message, "set STACK_RUNTIME=process or STACK_GPU=none"))
    listed = ", ".join(_render_gpu(gpu) for gpu in gpus)
    return (_ok("GPU", listed), *findings)


def _check_no_gpu(facts: DoctorInput) -> tuple[Finding, ...]:
    """Say why the CPU computes; a warning when a GPU seems to be there."""
    host = facts.host
    if facts.gpu_wanted not in ("auto", "none"):
        return (_explain_no_gpu(facts, facts.gpu_wanted),)
    if facts.gpu_wanted == "auto" and host.gpu_problem:
        hint = "repair the driver, or set STACK_GPU=none to accept the CPU"
        return (Finding("GPU", f"the CPU computes: {host.gpu_problem}", hint, Severity.WARNING),)
    idle = [gpu.name for gpu in host.gpus]
    if facts.gpu_wanted == "auto" and idle:
        message = f"the CPU computes; {', '.join(idle)} could be used through Vulkan"
        return (Finding("GPU", message, "try STACK_GPU=vulkan", Severity.OK),)
    return (_ok("GPU", facts.gpu.reason or "the CPU computes"),)


def _explain_no_gpu(facts: DoctorInput, kind: str) -> Finding:
    """The finding when a GPU was asked for and is not there, or ``GPU_DEVICES`` leaves out every GPU."""
    there = facts.host.find_gpus(kind)
    if there:
        listed = ", ".join(f"{gpu.index} ({gpu.name})" for gpu in there)
        message = f"'{facts.gpu_devices}' names none of this host's GPUs: {listed}"
        return Finding("GPU_DEVICES", message, "set GPU_DEVICES=all, or indices or UUIDs from the list")
    message = f"STACK_GPU={kind}, but {facts.host.gpu_problem or 'this host shows none'}"
    return Finding("GPU", message, "set STACK_GPU=auto or none, or install the driver")


def _check_image_for(gpu: Gpu, facts: DoctorInput) -> list[Finding]:
    """Whether the engine image runs on this GPU and its driver."""
    if gpu.kind != "nvidia" or facts.image is None or not facts.image.cuda:
        return []
    cuda, subject = facts.image.cuda, f"GPU {gpu.index}"
    mismatch = explain_driver_mismatch(gpu, cuda)
    if mismatch:
        older = " or an image of CUDA 12 (INFERENCE_IMAGE)" if cuda[0] > 12 else ""
        return [Finding(subject, f"{mismatch} ({facts.image.name})", f"update the driver{older}")]
    old = explain_old_gpu(gpu, cuda)
    if old:
        hint = "set INFERENCE_IMAGE to a CUDA 12 image" if cuda[0] > 12 else "set STACK_GPU=vulkan or none"
        return [Finding(subject, f"{old} ({facts.image.name})", hint)]
    newest = facts.host.cuda_version or find_driver_cuda(gpu.driver_version)
    if newest and newest < cuda:
        seen = f"the image was built with CUDA {cuda[0]}.{cuda[1]}, the driver knows {newest[0]}.{newest[1]}"
        message = f"{seen}: it runs, but the container may refuse to start ('unsatisfied condition: cuda')"
        hint = "update the driver, or set INFERENCE_ENVIRONMENT=NVIDIA_DISABLE_REQUIRE=1"
        return [Finding(subject, message, hint, Severity.WARNING)]
    return []


def _check_nvidia_in_containers(facts: DoctorInput) -> list[Finding]:
    """Whether the Docker engine can hand an NVIDIA GPU to a container."""
    host, docker = facts.host, facts.host.docker
    # Docker Desktop brings its own way to the GPU.
    if docker is None or docker.is_desktop:
        return []
    if docker.gives_by_cdi(facts.gpu_access):
        return _check_cdi(facts, docker)
    if "nvidia" in docker.runtimes:
        return []
    if docker.has_only_cdi:
        message = "Docker gives NVIDIA GPUs as CDI devices only, and GPU_ACCESS=toolkit asks for its nvidia runtime"
        return [Finding("GPU_ACCESS", message, "set GPU_ACCESS=auto")]
    message = (
        "Docker has neither the nvidia runtime nor a CDI device of it; 'up' would end with "
        "'could not select device driver \"nvidia\" with capabilities: [[gpu]]'"
    )
    hint = _CONFIGURE_TOOLKIT if host.has_nvidia_toolkit else _INSTALL_TOOLKIT
    if any("nvidia" in spec for spec in host.cdi_specs):
        hint = f"a CDI specification is there, but the engine did not read it: {_CONFIGURE_TOOLKIT}"
    return [Finding("container toolkit", message, hint)]


def _check_cdi(facts: DoctorInput, docker: DockerFacts) -> list[Finding]:
    """Whether the Docker engine has the CDI devices that it is to give to containers."""
    if any(device.startswith("nvidia.com/gpu=") for device in docker.cdi_devices):
        return []
    has_specification = any("nvidia" in spec for spec in facts.host.cdi_specs)
    if has_specification and parse_version(docker.server_version) < _LISTS_CDI:
        message = f"Docker {docker.server_version} does not tell which CDI devices it has; a specification is there"
        hint = "nothing, if 'up' starts; or set GPU_ACCESS=auto"
        return [Finding("GPU_ACCESS", message, hint, Severity.WARNING)]
    message = "GPU_ACCESS=cdi, and Docker has no CDI device nvidia.com/gpu"
    if has_specification:
        return [Finding("GPU_ACCESS", f"{message}, though a specification is there", _RESTART_DOCKER)]
    hint = "run 'sudo nvidia-ctk cdi generate --output=/etc/cdi/nvidia.yaml', or set GPU_ACCESS=auto"
    return [Finding("GPU_ACCESS", message, hint)]


def _render_gpu(gpu: Gpu) -> str:
    """A GPU in words: ``NVIDIA H200, 139.2 of 140.4 GiB free, driver 580.65.06``."""
    parts = [gpu.name]
    if gpu.memory_total_bytes:
        free, total = gpu.memory_free_bytes / 2**30, gpu.memory_total_bytes / 2**30
        parts.append(f"{free:.1f} of {total:.1f} GiB free")
    if gpu.slices:
        parts.append(f"{len(gpu.slices)} MIG slices, the largest counts")
    if gpu.driver_version:
        parts.append(f"driver {gpu.driver_version}")
    return ", ".join(parts)


def _ok(subject: str, message: str) -> Finding:
    return Finding(subject, message, severity=Severity.OK)
