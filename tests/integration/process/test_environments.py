"""Environments of services, made by the real installer from an index on loopback: whole, or made again."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Event

import pytest

from stackctl.adapters.machine.commands import stop_streams
from stackctl.adapters.process import environments
from stackctl.core.stack.runtime import CompletedCommand
from stackctl.errors import RuntimeFailure
from tests.integration.stack_site import REPOSITORY
from tests.package_index import SOURCE, PackageIndex, open_package_index, render_backend


@pytest.fixture
def index() -> Iterator[PackageIndex]:
    with open_package_index() as opened:
        yield opened


@pytest.fixture
def lock(index: PackageIndex, tmp_path: Path) -> Path:
    """A lock of one package."""
    path = tmp_path / "service" / "requirements.lock"
    path.parent.mkdir()
    path.write_text(f"alpha==1.0 --hash=sha256:{index.add_wheel('alpha')}\n", encoding="utf-8")
    return path


def make(lock: Path, index: PackageIndex) -> Path:
    folder = environments.find_environment(lock.parents[1] / "cache", lock, {})
    environments.make_environment(folder, lock, {}, index.url, print)
    return folder


def test_an_environment_whose_interpreter_is_gone_is_made_again(lock: Path, index: PackageIndex) -> None:
    folder = make(lock, index)
    assert environments.is_complete(folder)
    python = folder / "bin" / "python"
    python.unlink()
    python.symlink_to("/usr/bin/python-of-yesterday")
    assert not environments.is_complete(folder)
    assert make(lock, index) == folder
    assert subprocess.run([python, "-c", "import alpha"], check=False).returncode == 0


def test_an_environment_that_lost_a_package_s_files_is_made_again(lock: Path, index: PackageIndex) -> None:
    folder = make(lock, index)
    mark = folder / "complete"
    noted = mark.read_text()
    for earlier in ("", noted.rpartition(" ")[0], noted):  # as earlier versions wrote it
        mark.write_text(earlier)
        assert environments.is_complete(folder)
    module = next(folder.glob("lib/*/site-packages/alpha*[!o]"))
    assert module.suffix != ".dist-info"
    shutil.rmtree(module) if module.is_dir() else module.unlink()
    assert not environments.is_complete(folder)
    assert environments.is_complete(make(lock, index))


def test_a_cache_that_cannot_be_made_is_told_with_the_setting_that_moves_it(tmp_path: Path) -> None:
    (tmp_path / "stackctl").touch()
    with pytest.raises(RuntimeFailure) as raised, environments.wait_for_lock(tmp_path / "stackctl/envs/a.lock", print):
        pass
    assert f"cannot be put into {tmp_path / 'stackctl/envs'}" in raised.value.message
    assert "XDG_CACHE_HOME" in raised.value.hint


@pytest.mark.parametrize(
    ("said", "hint"),
    [("Too many open files (os error 24)", "ulimit -n"), ("error sending request", "package index")],
)
def test_an_installation_that_this_machine_fails_is_not_laid_on_the_index(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, said: str, hint: str
) -> None:
    monkeypatch.setattr(environments, "stream_command", lambda argv, *_: CompletedCommand(tuple(argv), 2, "", said))
    lock = tmp_path / "requirements.lock"
    lock.touch()
    with pytest.raises(RuntimeFailure) as raised:
        environments.make_environment(tmp_path / "made", lock, {}, "", print)
    assert hint in raised.value.hint


def test_a_thread_that_waits_for_another_site_hears_that_its_job_is_over(tmp_path: Path) -> None:
    waits = Event()

    def wait() -> None:
        with environments.wait_for_lock(tmp_path / "shared.lock", lambda line: waits.set()):
            pass

    with environments.wait_for_lock(tmp_path / "shared.lock", print), ThreadPoolExecutor(1) as pool:
        job = pool.submit(wait)
        assert waits.wait(30)
        stop_streams()
        with pytest.raises(RuntimeFailure, match="Waiting for shared was given up"):
            job.result(30)


def test_an_environment_whose_interpreter_is_another_version_is_made_again(lock: Path, index: PackageIndex) -> None:
    folder = make(lock, index)
    python = folder / "bin" / "python"
    python.unlink()
    python.write_text("#!/bin/sh\necho 3.99\n", encoding="utf-8")
    python.chmod(0o755)
    assert not environments.is_complete(folder)
    assert environments.is_complete(make(lock, index))


def test_an_environment_that_lost_a_package_is_made_again(lock: Path, index: PackageIndex) -> None:
    folder = make(lock, index)
    shutil.rmtree(next(folder.rglob("alpha-1.0.dist-info")))
    assert not environments.is_complete(folder)
    assert environments.is_complete(make(lock, index))


def test_a_whole_environment_is_left_as_it_is(lock: Path, index: PackageIndex) -> None:
    folder = make(lock, index)
    (folder / "kept").touch()
    make(lock, index)
    assert (folder / "kept").exists()


def test_the_installer_s_own_warnings_are_not_shown(
    lock: Path, index: PackageIndex, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A company's machine sets the variable for its own uv."""
    monkeypatch.setenv("UV_NATIVE_TLS", "true")
    wheels = tmp_path / "wheels"
    wheels.mkdir()
    for name, content in index.files.items():
        (wheels / name).write_bytes(content)
    said: list[str] = []
    folder = environments.find_environment(tmp_path / "cache", lock, {})
    environments.make_environment(folder, lock, {}, "", said.append, wheels)
    assert environments.is_complete(folder)
    assert not [line for line in said if "warning" in line.lower()]


def test_a_locked_installation_asks_for_nothing_that_the_lock_does_not_name(
    lock: Path, index: PackageIndex, tmp_path: Path
) -> None:
    """Whatever a package's metadata wishes for, and whatever the index gains."""
    digest = index.add_wheel("beta", Requires_Dist="gamma[extra]>=1.0")
    index.add_wheel("gamma", "2.0")
    lock.write_text(f"beta==1.0 --hash=sha256:{digest}\n", encoding="utf-8")
    venv = tmp_path / "venv"
    uv = environments.find_installer()
    subprocess.run([uv, "venv", "--quiet", "--python", sys.executable, str(venv)], check=True)
    shutil.copy(uv, venv / "bin" / "uv")
    script = REPOSITORY / "scripts" / "install_locked.py"
    environment = {**os.environ, "PIP_INDEX_URL": index.url, "PIP_FIND_LINKS": "", "UV_NO_CACHE": "1"}
    done = subprocess.run(
        [venv / "bin" / "python", str(script), str(lock)], env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert [path.name for path in venv.rglob("*.dist-info")] == ["beta-1.0.dist-info"]


@pytest.fixture
def source_lock(lock: Path, index: PackageIndex) -> Path:
    """A lock of one package that comes as its source, whose build backend has a newer release since."""
    lock.write_text(f"delta==1.0 --hash=sha256:{index.add_sdist('delta', pyproject=SOURCE)}\n", encoding="utf-8")
    digest = index.add_wheel("backend", code=render_backend("1.0"))
    index.add_wheel("backend", "1.1", code=render_backend("1.1"))
    locked = f"backend==1.0 --hash=sha256:{digest}\n"
    lock.with_name("requirements-build.lock").write_text(locked, encoding="utf-8")
    return lock


def test_a_source_is_built_with_what_the_lock_names_whatever_the_index_gained(
    source_lock: Path, index: PackageIndex
) -> None:
    folder = make(source_lock, index)
    said = subprocess.check_output(
        [folder / "bin" / "python", "-c", "import delta; print(delta.BUILT_WITH)"], text=True
    )
    assert said == "1.0\n"


def test_a_build_tool_that_was_swapped_on_the_index_is_refused(source_lock: Path, index: PackageIndex) -> None:
    index.add_wheel("backend", code=render_backend("evil"))
    with pytest.raises(RuntimeFailure, match="Hash mismatch"):
        make(source_lock, index)


def test_another_build_lock_makes_another_environment(source_lock: Path) -> None:
    before = environments.find_environment(source_lock.parent, source_lock, {})
    source_lock.with_name("requirements-build.lock").write_text("backend==1.1\n", encoding="utf-8")
    assert environments.find_environment(source_lock.parent, source_lock, {}) != before
