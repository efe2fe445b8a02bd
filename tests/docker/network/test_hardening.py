"""How containers are locked down: asked of the engine, and of the kernel from inside each container."""

from __future__ import annotations

import os
from typing import Any

import pytest
from docker.models.containers import Container

from stackctl.core.settings.dotenv import parse_dotenv
from tests.docker.sites import Site, run_inside

pytestmark = pytest.mark.docker
SERVICES = ("api-gateway", "ingress", "inference-chat", "inference-embed")
each_service = pytest.mark.parametrize("service", SERVICES)


@pytest.fixture
def container(running: Site, service: str) -> Container:
    return running.list_containers()[service]


def find_limit(container: Container, version_1: str, version_2: str) -> str:
    """A limit as the container's own control group has it, in either version's file."""
    code, text = run_inside(container, "sh", "-c", f"cat /sys/fs/cgroup/{version_1} || cat /sys/fs/cgroup/{version_2}")
    assert code == 0, text
    return text.splitlines()[-1]


@each_service
def test_its_processes_are_nobody_in_particular_and_stay_so(container: Container) -> None:
    # Process 1 is Docker's init; the service is its child, in whose file the same must stand.
    script = "for pid in /proc/[0-9]*; do [ $pid = /proc/$$ ] || cat $pid/status; done"
    code, text = run_inside(container, "sh", "-c", script)
    lines = [line.split(maxsplit=1) for line in text.splitlines() if line.startswith(("Uid", "Gid", "Cap", "NoNewPr"))]
    assert len([name for name, _ in lines if name == "Uid:"]) >= 2, text
    for name, value in lines:
        expected = "1" if name == "NoNewPrivs:" else "\t".join(["10001"] * 4) if name in ("Uid:", "Gid:") else "0" * 16
        assert value == expected, (name, value)
    assert code in (0, 1)  # 1: a process had ended before its turn


@each_service
def test_its_file_system_cannot_be_written_but_for_tmp(container: Container) -> None:
    for path in ("/file", "/etc/file", "/usr/file", "/var/file"):
        code, text = run_inside(container, "sh", "-c", f"echo x > {path}")
        assert code != 0
        assert "Read-only file system" in text, text
    assert run_inside(container, "sh", "-c", "echo x > /tmp/file && cat /tmp/file") == (0, "x")
    # What is written there cannot be run: a dropped program is of no use.
    code, text = run_inside(container, "sh", "-c", "cp /bin/true /tmp/true && /tmp/true")
    assert code != 0
    assert "Permission denied" in text


@each_service
def test_its_model_and_configuration_cannot_be_written(container: Container) -> None:
    mounts = [mount for mount in container.attrs["Mounts"] if mount["Type"] == "bind"]
    assert mounts
    for mount in mounts:
        code, text = run_inside(container, "sh", "-c", f": >> '{mount['Destination']}'")
        assert code != 0, text
        assert mount["RW"] is False
        assert os.path.isfile(mount["Source"]), "only single files are mounted"  # noqa: PTH113


@each_service
def test_the_kernel_holds_its_limits(container: Container) -> None:
    host = container.attrs["HostConfig"]
    assert host["Memory"] > 0
    assert host["MemorySwap"] == host["Memory"], "no swap beside it"
    assert int(find_limit(container, "memory/memory.limit_in_bytes", "memory.max")) == host["Memory"]
    assert int(find_limit(container, "pids/pids.max", "pids.max")) == host["PidsLimit"] > 0
    code, text = run_inside(container, "sh", "-c", "grep 'Max core file size' /proc/1/limits")
    assert (code, text.split()[4:6]) == (0, ["1", "1"])


@each_service
def test_the_engine_was_told_the_rest(container: Container) -> None:
    host: dict[str, Any] = container.attrs["HostConfig"]
    assert host["RestartPolicy"]["Name"] == "unless-stopped"
    assert host["LogConfig"] == {
        "Type": "json-file",
        "Config": {"compress": "true", "max-file": "25", "max-size": "20m"},
    }
    assert host["Init"] is True
    assert (host["Privileged"], host["CapAdd"], host["Devices"]) == (False, None, None)
    assert host["CapDrop"] == ["ALL"]
    assert host["ReadonlyRootfs"] is True
    assert host["NetworkMode"] != "host"
    assert (host["PidMode"], host["IpcMode"]) == ("", "private")
    # Docker's own filters of system calls and paths are on: nothing says otherwise.
    assert host["SecurityOpt"] == ["no-new-privileges:true"]


def test_only_the_ingress_is_published_and_on_loopback_alone(running: Site) -> None:
    published = {
        name: [binding for group in (item.attrs["NetworkSettings"]["Ports"] or {}).values() for binding in group or ()]
        for name, item in running.list_containers().items()
    }
    assert published.pop("ingress") == [{"HostIp": "127.0.0.1", "HostPort": str(running.port)}]
    assert list(published.values()) == [[], [], []]


def test_the_environment_file_is_its_owners_alone(running: Site) -> None:
    path = running.folder / ".env"
    assert path.stat().st_mode & 0o777 == 0o600
    assert not parse_dotenv(path.read_text(encoding="utf-8")).findings
