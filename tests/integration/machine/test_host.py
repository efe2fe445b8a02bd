"""Reading a host: from folders and programs that stand for one, and the machine the tests run on."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from stackctl.adapters.machine.commands import run_command
from stackctl.adapters.machine.host import load_disk, load_file_facts, load_host
from stackctl.adapters.machine.ports import load_ports
from stackctl.adapters.machine.processes import load_resident_bytes
from stackctl.core.machine.docker_facts import DockerFacts, parse_docker_info
from stackctl.core.machine.host import Host, choose_gpu, choose_runtime

GIB = 1 << 30
DOCKER = DockerFacts("28.2.2", "28.5.2", compose_version="2.40.3", operating_system="Debian GNU/Linux 12")


class FakeMachine:
    """A root folder and a folder of programs; programs are real ones, run as they would be."""

    def __init__(self, folder: Path) -> None:
        self.root = folder / "root"
        self.programs = folder / "bin"
        self.programs.mkdir(parents=True)
        self.add_file("proc/meminfo", "MemTotal:  32000000 kB\nMemAvailable:  16000000 kB\n")
        self.add_file("proc/sys/kernel/osrelease", "6.1.0-amd64\n")

    def add_file(self, path: str, text: str = "") -> None:
        file = self.root / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)

    def add_program(self, name: str, script: str) -> None:
        """A shell script; ``$*`` holds its arguments."""
        file = self.programs / name
        file.write_text(f"#!/bin/sh\n{script}\n")
        file.chmod(0o755)

    def load(self) -> Host:
        return load_host(
            run_command, root=self.root, find_program=lambda name: shutil.which(name, path=str(self.programs))
        )


@pytest.fixture
def machine(tmp_path: Path) -> FakeMachine:
    return FakeMachine(tmp_path)


NVIDIA_SMI = """case "$*" in
  *query-gpu*) echo "0, GPU-m, NVIDIA H200, 580.65.06, 143771, 771, 9.0" ;;
  -L) echo "GPU 0: NVIDIA H200 (UUID: GPU-m)"; {slices} ;;
  *) echo "| Driver Version: 580.65.06    CUDA Version: 13.0 |" ;;
esac"""


def test_a_bare_machine(machine: FakeMachine) -> None:
    host = machine.load()
    assert (host.memory_total_bytes, host.memory_available_bytes) == (32_000_000 * 1024, 16_000_000 * 1024)
    assert (host.gpus, host.docker, host.gpu_problem, host.ports) == ((), None, "", {})
    assert not host.is_wsl2


def test_a_machine_with_an_nvidia_gpu(machine: FakeMachine) -> None:
    machine.add_program("nvidia-smi", NVIDIA_SMI.format(slices=":"))
    machine.add_program("nvidia-ctk", "exit 0")
    machine.add_file("etc/cdi/nvidia.yaml")
    host = machine.load()
    assert [(gpu.name, gpu.memory_free_bytes) for gpu in host.gpus] == [("NVIDIA H200", 143000 * (1 << 20))]
    assert (host.cuda_version, host.has_nvidia_toolkit, host.cdi_specs) == ((13, 0), True, ("nvidia.yaml",))


def test_mig_slices_are_found(machine: FakeMachine) -> None:
    line = "echo '  MIG 1g.18gb     Device  0: (UUID: MIG-1)'"
    machine.add_program("nvidia-smi", NVIDIA_SMI.format(slices=line))
    (gpu,) = machine.load().gpus
    assert (gpu.slices[0].uuid, gpu.memory_free_bytes) == ("MIG-1", 18 * GIB)


def test_a_broken_driver_is_explained(machine: FakeMachine) -> None:
    text = "NVIDIA-SMI has failed because it couldn't communicate with the NVIDIA driver."
    machine.add_program("nvidia-smi", f'echo "{text}"; exit 9')
    host = machine.load()
    assert (host.gpus, host.gpu_problem) == ((), "the NVIDIA driver is installed but not loaded")


def test_an_unknown_failure_shows_the_command_and_its_words(machine: FakeMachine) -> None:
    machine.add_program("nvidia-smi", "echo 'something new' >&2; exit 3")
    assert "something new" in machine.load().gpu_problem


def test_hardware_without_a_driver_is_seen(machine: FakeMachine) -> None:
    machine.add_file("sys/bus/pci/devices/0000:01:00.0/vendor", "0x10de\n")
    assert "driver is not installed" in machine.load().gpu_problem


def test_amd_and_other_gpus_come_from_their_device_files(machine: FakeMachine) -> None:
    for name, vendor in (("renderD128", "0x1002"), ("renderD129", "0x8086"), ("renderD130", "0x10de")):
        machine.add_file(f"dev/dri/{name}")
        machine.add_file(f"sys/class/drm/{name}/device/vendor", vendor + "\n")
    machine.add_file("sys/class/drm/renderD128/device/mem_info_vram_total", f"{24 * GIB}\n")
    machine.add_file("sys/class/drm/renderD128/device/mem_info_vram_used", f"{GIB}\n")
    machine.add_file("dev/kfd")
    host = machine.load()
    assert [(gpu.kind, gpu.device) for gpu in host.gpus] == [
        ("amd", "/dev/dri/renderD128"),
        ("vulkan", "/dev/dri/renderD129"),
    ]
    assert host.gpus[0].memory_free_bytes == 23 * GIB
    assert choose_gpu(host).value == "amd"


def test_docker_facts_come_from_its_command_line(machine: FakeMachine) -> None:
    info = {
        "ServerVersion": "28.5.2",
        "OperatingSystem": "Docker Desktop",
        "Driver": "overlay2",
        "Runtimes": {"runc": {}, "nvidia": {}},
        "DiscoveredDevices": [{"Source": "cdi", "ID": "nvidia.com/gpu=all"}],
        "ClientInfo": {"Version": "28.2.2"},
    }
    script = f"case \"$1\" in info) echo '{json.dumps(info)}' ;; compose) echo 2.40.3 ;; esac"
    machine.add_program("docker", script)
    machine.add_program("docker-compose", "echo 1.29.2")
    docker = machine.load().docker
    assert docker is not None
    assert (docker.client_version, docker.server_version, docker.compose_version) == ("28.2.2", "28.5.2", "2.40.3")
    assert (docker.legacy_compose_version, docker.is_desktop) == ("1.29.2", True)
    assert (sorted(docker.runtimes), docker.cdi_devices) == (["nvidia", "runc"], ("nvidia.com/gpu=all",))


def test_an_engine_that_does_not_answer_gives_its_reason(machine: FakeMachine) -> None:
    said = "Cannot connect to the Docker daemon at unix:///var/run/docker.sock. Is the docker daemon running?"
    machine.add_program("docker", f'echo \'{{"ServerErrors":["{said}"]}}\'; echo "{said}" >&2; exit 1')
    host = machine.load()
    assert host.docker is not None
    assert (host.docker.is_reachable, host.docker.problem) == (False, said)
    assert choose_runtime(host).value == "process"


@pytest.mark.parametrize("text", ["", "not json", "[]", "null", '{"ServerVersion": null}'])
def test_any_answer_of_docker_is_survived(text: str) -> None:
    assert not parse_docker_info(text, "boom").is_reachable


def test_wsl_is_known_by_its_kernel(machine: FakeMachine) -> None:
    machine.add_file("proc/sys/kernel/osrelease", "5.15.167.4-microsoft-standard-WSL2\n")
    assert machine.load().is_wsl2


def test_the_file_system_of_a_path_is_that_of_the_nearest_mount(tmp_path: Path) -> None:
    folder = tmp_path / "with space"
    folder.mkdir()
    mounts = tmp_path / "proc/self/mounts"
    mounts.parent.mkdir(parents=True)
    escaped = str(folder).replace(" ", "\\040")
    mounts.write_text(f"/dev/sda1 / ext4 rw 0 0\nC:\\134 {escaped} 9p rw 0 0\n")
    disk = load_disk(folder / "not" / "yet" / "there.gguf", tmp_path)
    assert (disk.file_system, disk.free_bytes > 0) == ("9p", True)
    assert load_disk(tmp_path / "x", tmp_path).file_system == "ext4"


def test_whether_a_folder_can_be_made_is_asked_of_the_nearest_one_above_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert load_disk(tmp_path / "not" / "yet", tmp_path).is_writable
    monkeypatch.setattr(os, "access", lambda path, mode: path != tmp_path)  # root may write everywhere
    assert not load_disk(tmp_path / "not" / "yet", tmp_path).is_writable


def test_a_port_on_both_address_families_is_held_by_the_process_that_is_seen(machine: FakeMachine) -> None:
    row = "  0: {}:1F40 {}:0000 0A 00000000:00000000 00:00000000 00000000 0 0 {} 1 0000 100 0 0 10 0\n"
    head = "  sl  local_address rem_address   st\n"
    machine.add_file("proc/net/tcp6", head + row.format("0" * 32, "0" * 32, 222))
    machine.add_file("proc/net/tcp", head + row.format("00000000", "00000000", 111))
    machine.add_file("proc/77/comm", "nginx\n")
    folder = machine.root / "proc/77/fd"
    folder.mkdir()
    (folder / "3").symlink_to("socket:[111]")
    holder = load_ports(machine.root)[8000]
    assert (holder.pid, holder.name) == (77, "nginx")
    (folder / "3").unlink()
    (folder / "3").symlink_to("socket:[222]")
    assert load_ports(machine.root)[8000].pid == 77
    (folder / "3").unlink()
    assert load_ports(machine.root)[8000].pid == 0


# The machine the tests run on


def test_this_machine_has_memory_and_this_process_holds_its_port(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        host = load_host(run_command, [tmp_path], find_program=lambda name: None)
        holder = host.ports[server.getsockname()[1]]
    assert holder.pid == os.getpid()
    assert holder.render_text().endswith(f"(pid {os.getpid()})")
    assert 0 < host.memory_available_bytes <= host.memory_total_bytes
    assert host.disks[str(tmp_path)].free_bytes > 0


def test_a_port_of_another_process_is_named() -> None:
    script = "import socket; s = socket.create_server(('127.0.0.1', 0)); print(s.getsockname()[1], flush=True); input()"
    with subprocess.Popen(
        [sys.executable, "-c", script], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        port = int(process.stdout.readline())
        holder = load_ports()[port]
        process.communicate("\n")
    assert holder.pid == process.pid
    assert "python" in holder.name
    assert port not in load_ports()


def test_file_facts(tmp_path: Path) -> None:
    file = tmp_path / ".env"
    file.write_text("A=1\n")
    file.chmod(0o640)
    facts = load_file_facts(file, 2)
    assert (facts.mode, facts.head) == (0o640, b"A=")
    assert load_file_facts(tmp_path / "none").mode is None


def test_the_memory_of_a_process_counts_what_runs_below_it() -> None:
    """A container's first process is an init that holds next to nothing; its engine is its child."""
    hold = "import sys; held = bytes(1 << 26) + b'x'; print('held', flush=True); sys.stdin.read()"
    start = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {hold!r}])"
    argv = [sys.executable, "-c", start]
    with subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as init:
        assert init.stdin is not None
        assert init.stdout is not None
        assert init.stdout.readline() == "held\n"
        assert (load_resident_bytes(init.pid) or 0) > 1 << 26
        init.stdin.close()
    assert load_resident_bytes(init.pid) is None
