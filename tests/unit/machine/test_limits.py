"""What a container, a service or taskset leaves to processes: both versions of control groups, read from a tree."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from stackctl.adapters.machine.limits import load_limits
from stackctl.core.machine.limits import Limits

GIB = 1 << 30
V2 = "30 23 0:26 / /sys/fs/cgroup rw,nosuid shared:4 - cgroup2 cgroup2 rw,nsdelegate\n"
V1 = (
    "31 23 0:27 / /sys/fs/cgroup ro,nosuid - tmpfs tmpfs ro,mode=755\n"
    "32 31 0:28 {root} /sys/fs/cgroup/cpu,cpuacct rw - cgroup cgroup rw,cpu,cpuacct\n"
    "33 31 0:29 {root} /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory\n"
)
NO_LIMIT_V1 = "9223372036854771712\n"


def build_machine(root: Path, cgroup: str, mountinfo: str, **files: str) -> Path:
    """A machine with eight cores of two hyperthreads; files of control groups by their path below /sys/fs/cgroup."""
    texts = {"proc/self/cgroup": cgroup, "proc/self/mountinfo": mountinfo}
    texts |= {f"sys/fs/cgroup/{path}": text for path, text in files.items()}
    for cpu in range(16):
        texts[f"sys/devices/system/cpu/cpu{cpu}/topology/thread_siblings"] = f"{0x101 << cpu % 8:04x}\n"
    for path, text in texts.items():
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_text(text)
    return root


def test_a_container_of_version_2_sees_its_own_limits_at_the_top(tmp_path: Path) -> None:
    files = {
        "cpu.max": "250000 100000\n",
        "memory.max": f"{4 * GIB}\n",
        "memory.current": f"{3 * GIB}\n",
        "memory.stat": f"anon {GIB}\ninactive_file {GIB}\n",
    }
    machine = build_machine(tmp_path, "0::/\n", V2, **files)
    assert load_limits(machine, 16) == Limits(2, 4 * GIB, 2 * GIB)


def test_a_service_is_bounded_by_the_groups_around_it_too(tmp_path: Path) -> None:
    files = {
        "user.slice/cpu.max": "200000 100000\n",
        "user.slice/memory.max": "max\n",
        "user.slice/app.service/cpu.max": "max 100000\n",
        "user.slice/app.service/memory.max": f"{GIB}\n",
        "user.slice/app.service/memory.current": "4096\n",
        "other.slice/cpu.max": "100000 100000\n",
    }
    machine = build_machine(tmp_path, "0::/user.slice/app.service\n", V2, **files)
    assert load_limits(machine, 16) == Limits(2, GIB, GIB - 4096)


@pytest.mark.parametrize("root", ["/docker/4f5e", "/"], ids=["its own group is mounted", "the host's groups"])
def test_a_container_of_version_1(tmp_path: Path, root: str) -> None:
    below = "" if root != "/" else "docker/4f5e/"
    files = {
        f"cpu,cpuacct/{below}cpu.cfs_quota_us": "400000\n",
        f"cpu,cpuacct/{below}cpu.cfs_period_us": "100000\n",
        f"memory/{below}memory.limit_in_bytes": f"{2 * GIB}\n",
        f"memory/{below}memory.usage_in_bytes": f"{GIB}\n",
        f"memory/{below}memory.stat": f"inactive_file 0\ntotal_inactive_file {GIB // 2}\n",
    }
    cgroup = "4:memory:/docker/4f5e\n3:cpu,cpuacct:/docker/4f5e\n1:name=systemd:/docker/4f5e\n0::/\n"
    machine = build_machine(tmp_path, cgroup, V1.format(root=root), **files)
    assert load_limits(machine, 16) == Limits(4, 2 * GIB, GIB + GIB // 2)


@pytest.mark.parametrize(
    "files",
    [
        {"cpu.max": "max 100000\n", "memory.max": "max\n"},
        {"cpu,cpuacct/cpu.cfs_quota_us": "-1\n", "cpu,cpuacct/cpu.cfs_period_us": "100000\n"},
        {"memory/memory.limit_in_bytes": NO_LIMIT_V1, "memory/memory.usage_in_bytes": "4096\n"},
        {"cpu.max": "1200000 100000\n"},  # twelve of sixteen hyperthreads are more than there are cores
        {"cpu.max": "what is this\n", "memory.max": "-\n"},
        {},
    ],
)
def test_what_bounds_nothing_is_no_limit(tmp_path: Path, files: dict[str, str]) -> None:
    cgroup = "4:memory:/\n3:cpu,cpuacct:/\n0::/\n"
    assert load_limits(build_machine(tmp_path, cgroup, V2 + V1.format(root="/"), **files), 16) == Limits()


def test_a_machine_without_control_groups_has_no_limits(tmp_path: Path) -> None:
    assert load_limits(tmp_path, 1 << 20) == Limits()


def test_less_than_a_processor_is_one_thread(tmp_path: Path) -> None:
    assert load_limits(build_machine(tmp_path, "0::/\n", V2, **{"cpu.max": "50000 100000\n"}), 16).cpus == 1


def test_a_processor_mask_is_a_limit(tmp_path: Path) -> None:
    machine = build_machine(tmp_path, "0::/\n", V2)
    assert load_limits(machine, 3) == Limits(cpus=3)
    mask = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {min(mask)})
    try:
        assert load_limits(machine) == Limits(cpus=1)
    finally:
        os.sched_setaffinity(0, mask)
