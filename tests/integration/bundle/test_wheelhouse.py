"""Wheels for a site without an index, from the real uv and an index of the test's own."""

from __future__ import annotations

import hashlib
import itertools
import os
import platform
import re
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from uv import find_uv_bin

from stackctl.adapters.wheels import wheel_downloads
from stackctl.adapters.wheels.wheelhouse import collect_wheels
from stackctl.core.bundle.pack.wheel_choice import Wheel
from stackctl.core.text.progress import Transfer
from stackctl.errors import BundleError
from tests.integration.bundle.wheel_site import PYTHONS, collect, save_lock
from tests.integration.stack_site import REPOSITORY
from tests.package_index import PackageIndex
from tests.waiting import wait_for

MACHINE = platform.machine()
DEADLINE_S = 120.0
COLLECT = """
import sys
from pathlib import Path
from stackctl.adapters.wheels.wheelhouse import collect_wheels
collect_wheels(Path(sys.argv[1]), ("3.12",), Path(sys.argv[2]), sys.argv[3], print)
"""


def test_each_python_gets_the_wheels_that_fit_it(index: PackageIndex, tmp_path: Path) -> None:
    compiled = [
        index.add_wheel("compiled", tag=tag)
        for tag in (
            f"cp311-cp311-manylinux_2_17_{MACHINE}",
            f"cp312-cp312-manylinux_2_28_{MACHINE}",
            f"cp312-cp312-manylinux_2_39_{MACHINE}",
            f"cp312-cp312-musllinux_1_2_{MACHINE}",
            "cp312-cp312-win_amd64",
            "cp313-cp313-manylinux_2_17_riscv64",
        )
    ]
    lock = save_lock(
        tmp_path,
        "compiled==1.0 " + " ".join(f"--hash=sha256:{digest}" for digest in compiled),
        f"plain==1.0 --hash=sha256:{index.add_wheel('plain')}",
        f"stable==1.0 --hash=sha256:{index.add_wheel('stable', tag=f'cp39-abi3-manylinux2014_{MACHINE}')}",
        f"old==1.0 ; python_full_version < '3.12' --hash=sha256:{index.add_wheel('old')}",
        f"windows==1.0 ; sys_platform == 'win32' --hash=sha256:{index.add_wheel('windows')}",
    )
    assert collect(lock, index) == [
        f"compiled-1.0-cp311-cp311-manylinux_2_17_{MACHINE}.whl",
        f"compiled-1.0-cp312-cp312-manylinux_2_28_{MACHINE}.whl",
        "old-1.0-py3-none-any.whl",
        "plain-1.0-py3-none-any.whl",
        f"stable-1.0-cp39-abi3-manylinux2014_{MACHINE}.whl",
    ]


def test_an_unchanged_lock_asks_nobody(index: PackageIndex, tmp_path: Path) -> None:
    lock = save_lock(tmp_path, f"plain==1.0 --hash=sha256:{index.add_wheel('plain')}")
    first = collect(lock, index)
    index.fetched.clear()
    index.files.clear()
    assert collect(lock, index) == first
    assert index.fetched == []


def test_packages_without_a_wheel_are_all_named(
    index: PackageIndex, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "40")  # an interactive shell may have exported it
    newer = index.add_wheel("newer", tag=f"cp312-cp312-manylinux_2_17_{MACHINE}")
    lock = save_lock(
        tmp_path,
        f"source-only==1.0 --hash=sha256:{index.add_sdist('source_only')}",
        f"newer==1.0 --hash=sha256:{newer}",
        f"plain==1.0 --hash=sha256:{index.add_wheel('plain')}",
    )
    with pytest.raises(BundleError) as caught:
        collect(lock, index)
    assert [finding.render_text() for finding in caught.value.findings] == [
        f"source-only==1.0: has no wheel for Python 3.11 on {MACHINE}",
        f"newer==1.0: has no wheel for Python 3.11 on {MACHINE}",
        f"source-only==1.0: has no wheel for Python 3.12 on {MACHINE}",
    ]


def test_a_wheel_that_the_lock_does_not_name_is_no_wheel(index: PackageIndex, tmp_path: Path) -> None:
    index.add_wheel("plain")
    lock = save_lock(tmp_path, f"plain==1.0 --hash=sha256:{'0' * 64}")
    with pytest.raises(BundleError, match="can be carried") as caught:
        collect(lock, index)
    assert caught.value.findings[0].subject == "plain==1.0"
    assert index.fetched == []


def test_one_more_version_of_python_fetches_what_only_it_needs(index: PackageIndex, tmp_path: Path) -> None:
    tags = [f"cp{minor}-cp{minor}-manylinux_2_17_{MACHINE}" for minor in (311, 312)]
    lock = save_lock(
        tmp_path,
        f"plain==1.0 --hash=sha256:{index.add_wheel('plain')}",
        "compiled==1.0 " + " ".join(f"--hash=sha256:{index.add_wheel('compiled', tag=tag)}" for tag in tags),
    )
    collect(lock, index, ("3.11",))
    index.fetched.clear()
    assert len(collect(lock, index)) == 3
    assert index.fetched == [f"compiled-1.0-{tags[1]}.whl"]


def test_another_lock_fetches_what_is_new_in_it(index: PackageIndex, tmp_path: Path) -> None:
    first = f"plain==1.0 --hash=sha256:{index.add_wheel('plain')}"
    collect(save_lock(tmp_path, first), index)
    index.fetched.clear()
    collect(save_lock(tmp_path, first, f"other==1.0 --hash=sha256:{index.add_wheel('other')}"), index)
    assert index.fetched == ["other-1.0-py3-none-any.whl"]


def test_count_rate_and_time_left_are_told(index: PackageIndex, tmp_path: Path) -> None:
    names = [f"package{letter}" for letter in "abc"]
    lock = save_lock(tmp_path, *(f"{name}==1.0 --hash=sha256:{index.add_wheel(name)}" for name in names))
    said: list[str] = []
    collect_wheels(lock, PYTHONS, tmp_path / "cache", index.url, said.append, title="gateway")
    assert said[0] == "wheels of gateway: asking the index for 3 packages, Python 3.11, 3.12"
    assert said[-1].startswith("wheels of gateway: 3 fetched, ")
    transfer = Transfer("wheels", 3000, said.append, itertools.count().__next__)
    wheels = [
        Wheel(name, f"{index.url.removesuffix('simple')}files/{name}", accepted=(hashlib.sha256(data).hexdigest(),))
        for name, data in index.files.items()
    ]
    wheel_downloads.download_wheels(wheels, tmp_path / "other", {}, transfer)
    assert re.fullmatch(r"wheels: 3 of 3 files: .+ of 2\.9 KiB, \d+ B/s, \d+ s left", transfer.render(3.0))


def test_a_damaged_wheel_in_the_cache_is_fetched_again(index: PackageIndex, tmp_path: Path) -> None:
    lock = save_lock(tmp_path, f"plain==1.0 --hash=sha256:{index.add_wheel('plain')}")
    (path,) = collect_wheels(lock, PYTHONS, tmp_path / "cache", index.url, lambda _: None)
    whole = path.read_bytes()
    path.write_bytes(bytes(len(whole)))
    assert collect(lock, index) == ["plain-1.0-py3-none-any.whl"]
    assert path.read_bytes() == whole


def test_a_killed_collection_goes_on_where_it_was(index: PackageIndex, tmp_path: Path) -> None:
    names = [f"package{letter}" for letter in "abcdefghijklmnopqrst"]
    lock = save_lock(tmp_path, *(f"{name}==1.0 --hash=sha256:{index.add_wheel(name)}" for name in names))
    held = f"{names[-1]}-1.0-py3-none-any.whl"
    index.held = held
    argv = [sys.executable, "-c", COLLECT, str(lock), str(tmp_path / "cache"), index.url]
    with subprocess.Popen(argv, cwd=REPOSITORY, stdout=subprocess.DEVNULL, start_new_session=True) as process:
        assert index.reached.wait(DEADLINE_S)
        # The one that is held up holds up none of the others.
        wait_for(lambda: len(list((tmp_path / "cache").rglob("*.whl"))) == len(names) - 1, "the other wheels")
        os.killpg(process.pid, signal.SIGKILL)
    index.held = ""
    index.release.set()
    index.fetched.clear()
    assert collect(lock, index, ("3.12",)) == [f"{name}-1.0-py3-none-any.whl" for name in names]
    assert index.fetched == [held]
    assert not list((tmp_path / "cache").rglob("*.part"))


def test_the_projects_own_lock_installs_from_its_wheels_alone(tmp_path: Path) -> None:
    version = f"{sys.version_info.major}.{sys.version_info.minor}"
    lock = REPOSITORY / "requirements.lock"
    folder = tmp_path / "wheels"
    folder.mkdir()
    for path in collect_wheels(lock, (version,), tmp_path / "cache", "", lambda _: None):
        shutil.copy(path, folder)
    install = [find_uv_bin(), "pip", "install", "--quiet", "--offline", "--no-index", "--no-deps", "--require-hashes"]
    place = ["--python", sys.executable, "--target", str(tmp_path / "target"), "--no-cache"]
    done = subprocess.run(
        [*install, *place, "--find-links", str(folder), "--requirements", str(lock)],
        env={name: value for name, value in os.environ.items() if not name.startswith(("UV_", "PIP_"))},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
