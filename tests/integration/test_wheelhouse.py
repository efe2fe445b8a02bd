"""Wheels for a site without an index: from a real pip and an index of the test's own, and this program's own wheel."""

from __future__ import annotations

import importlib.util
import os
import platform
import shutil
import signal
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from uv import find_uv_bin

from stackctl.adapters.own_wheel import build_own_wheel
from stackctl.adapters.wheelhouse import collect_wheels
from stackctl.errors import BundleError, RuntimeFailure
from tests.integration.stack_site import REPOSITORY
from tests.package_index import PackageIndex, open_package_index

MACHINE = platform.machine()
PYTHONS = ("3.11", "3.12")
DEADLINE_S = 120.0
COLLECT = """
import sys
from pathlib import Path
from stackctl.adapters.wheelhouse import collect_wheels
collect_wheels(Path(sys.argv[1]), ("3.12",), Path(sys.argv[2]), sys.argv[3], print)
"""
BUILD = """
import sys
from pathlib import Path
import stackctl
from stackctl.adapters.own_wheel import build_own_wheel
assert stackctl.__file__.startswith(sys.argv[1]), stackctl.__file__
build_own_wheel(Path(sys.argv[2]))
"""


@pytest.fixture
def index(monkeypatch: pytest.MonkeyPatch) -> Iterator[PackageIndex]:
    """An index that nothing else answers for, neither pip's cache nor its configuration."""
    monkeypatch.setenv("PIP_NO_CACHE_DIR", "1")
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    monkeypatch.delenv("PIP_FIND_LINKS", raising=False)
    monkeypatch.delenv("PIP_EXTRA_INDEX_URL", raising=False)
    with open_package_index() as opened:
        yield opened


def save_lock(folder: Path, *lines: str) -> Path:
    path = folder / "requirements.lock"
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def collect(lock: Path, index: PackageIndex, pythons: tuple[str, ...] = PYTHONS) -> list[str]:
    """Names of the collected wheels."""
    found = collect_wheels(lock, pythons, lock.parent / "cache", index.url, lambda _: None)
    assert all(path.is_file() for path in found)
    return [path.name for path in found]


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


def test_packages_without_a_wheel_are_all_named(index: PackageIndex, tmp_path: Path) -> None:
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


@pytest.mark.parametrize("answer", ["nobody listens", "it refuses"])
def test_an_index_that_does_not_answer_is_no_package_without_a_wheel(
    index: PackageIndex, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, answer: str
) -> None:
    monkeypatch.setenv("PIP_RETRIES", "0")
    lock = save_lock(tmp_path, f"plain==1.0 --hash=sha256:{index.add_wheel('plain')}")
    url = "http://ann:s3cret@127.0.0.1:9/simple"
    if answer == "it refuses":
        index.refuses = True
        url = index.url.replace("://", "://ann:s3cret@")
    with pytest.raises(RuntimeFailure, match=r"could not be fetched: .*(refused|Forbidden)") as caught:
        collect_wheels(lock, PYTHONS, tmp_path / "cache", url, lambda _: None)
    assert "s3cret" not in caught.value.message
    assert "PIP_INDEX_URL" in caught.value.hint


def test_a_wheel_of_other_bytes_is_refused(index: PackageIndex, tmp_path: Path) -> None:
    index.add_wheel("plain")
    lock = save_lock(tmp_path, f"plain==1.0 --hash=sha256:{'0' * 64}")
    with pytest.raises(RuntimeFailure, match="DO NOT MATCH THE HASHES"):
        collect(lock, index)


def test_a_damaged_wheel_in_the_cache_is_fetched_again(index: PackageIndex, tmp_path: Path) -> None:
    lock = save_lock(tmp_path, f"plain==1.0 --hash=sha256:{index.add_wheel('plain')}")
    (path,) = collect_wheels(lock, PYTHONS, tmp_path / "cache", index.url, lambda _: None)
    whole = path.read_bytes()
    path.write_bytes(whole[:-10])
    assert collect(lock, index) == ["plain-1.0-py3-none-any.whl"]
    assert path.read_bytes() == whole


def test_a_killed_collection_goes_on_where_it_was(index: PackageIndex, tmp_path: Path) -> None:
    names = [f"package{letter}" for letter in "abcdefghijklmnopqrst"]
    lock = save_lock(tmp_path, *(f"{name}==1.0 --hash=sha256:{index.add_wheel(name)}" for name in names))
    index.held = f"{names[-1]}-1.0-py3-none-any.whl"
    argv = [sys.executable, "-c", COLLECT, str(lock), str(tmp_path / "cache"), index.url]
    with subprocess.Popen(argv, cwd=REPOSITORY, stdout=subprocess.DEVNULL, start_new_session=True) as process:
        assert index.reached.wait(DEADLINE_S)
        os.killpg(process.pid, signal.SIGKILL)
    index.held = ""
    index.release.set()
    index.fetched.clear()
    assert collect(lock, index, ("3.12",)) == [f"{name}-1.0-py3-none-any.whl" for name in names]
    assert index.fetched == [f"{name}-1.0-py3-none-any.whl" for name in names[16:]]


def test_an_environment_without_pip_gets_one(
    index: PackageIndex, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda _: None)
    lock = save_lock(tmp_path, f"plain==1.0 --hash=sha256:{index.add_wheel('plain')}")
    assert collect(lock, index) == ["plain-1.0-py3-none-any.whl"]


def test_the_projects_own_lock_installs_from_its_wheels_alone(tmp_path: Path) -> None:
    version = f"{sys.version_info.major}.{sys.version_info.minor}"
    lock = REPOSITORY / "requirements.lock"
    wheels = collect_wheels(lock, (version,), tmp_path / "cache", "", lambda _: None)
    install = [find_uv_bin(), "pip", "install", "--quiet", "--offline", "--no-index", "--no-deps", "--require-hashes"]
    place = ["--python", sys.executable, "--target", str(tmp_path / "target"), "--no-cache"]
    done = subprocess.run(
        [*install, *place, "--find-links", str(wheels[0].parent), "--requirements", str(lock)],
        env={name: value for name, value in os.environ.items() if not name.startswith(("UV_", "PIP_"))},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr


# This program's own wheel


@pytest.fixture(scope="module")
def own_wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel of this checkout."""
    return build_own_wheel(tmp_path_factory.mktemp("own"))


@pytest.fixture
def installed(own_wheel: Path, tmp_path: Path) -> Path:
    """A folder in which the wheel is installed."""
    target = tmp_path / "installed"
    install = [find_uv_bin(), "pip", "install", "--quiet", "--offline", "--no-deps", "--no-cache"]
    argv = [*install, "--python", sys.executable, "--target", str(target), str(own_wheel)]
    subprocess.run(argv, check=True, capture_output=True)
    return target


def build_from(installed: Path, out: Path) -> subprocess.CompletedProcess[str]:
    """Build the wheel with what is installed there, under another umask and far from the checkout."""
    environment = {**os.environ, "PYTHONPATH": str(installed), "PYTHONDONTWRITEBYTECODE": "1"}
    argv = ["sh", "-c", 'umask 077 && exec "$@"', "sh", sys.executable, "-c", BUILD, str(installed), str(out)]
    return subprocess.run(argv, cwd=out.parent, env=environment, capture_output=True, text=True, check=False)


def test_checkout_and_installation_make_the_same_wheel(own_wheel: Path, installed: Path, tmp_path: Path) -> None:
    done = build_from(installed, tmp_path / "out")
    assert done.returncode == 0, done.stderr
    (again,) = (tmp_path / "out").iterdir()
    assert again.name == own_wheel.name
    assert again.read_bytes() == own_wheel.read_bytes()


def test_the_wheel_is_plain_and_complete(own_wheel: Path) -> None:
    with zipfile.ZipFile(own_wheel) as archive:
        names = archive.namelist()
        assert archive.testzip() is None
        assert {(info.date_time[0], info.external_attr >> 16) for info in archive.infolist()} == {(1980, 0o100644)}
    assert {"stackctl/cli/main.py", "stackctl/_data/services/api-gateway/Dockerfile"} <= set(names)
    assert not [name for name in names if "__pycache__" in name or "/tests/" in name]
    assert len(names) == len(set(names))


def test_secrets_that_lie_in_a_checkout_s_folders_stay_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    checkout = tmp_path / "checkout"
    tracked = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard"],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
    )
    if tracked.returncode:
        pytest.skip("needs a checkout")
    for name in tracked.stdout.splitlines():
        if (REPOSITORY / name).is_file() and not name.startswith(("tests/", "docs/")):
            (checkout / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(REPOSITORY / name, checkout / name)
    for folder in ("services/api-gateway", "compose"):
        (checkout / folder / ".env").write_text("GATEWAY_KEY=sk-planted\n")
    monkeypatch.setattr("stackctl.adapters.own_wheel.find_data_root", lambda: checkout)
    assert b"sk-planted" not in build_own_wheel(tmp_path / "out").read_bytes()


def test_a_changed_installation_is_not_passed_on(installed: Path, tmp_path: Path) -> None:
    with (installed / "stackctl" / "errors.py").open("a") as file:
        file.write("# changed\n")
    done = build_from(installed, tmp_path / "out")
    assert "changed: stackctl/errors.py" in done.stderr
    assert not (tmp_path / "out").exists()
