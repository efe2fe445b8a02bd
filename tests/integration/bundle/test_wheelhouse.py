"""Wheels for a site without an index: from the real uv and an index of the test's own, and this program's own wheel."""

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
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from uv import find_uv_bin

from stackctl.adapters.wheels import wheel_downloads
from stackctl.adapters.wheels.own_wheel import build_own_wheel
from stackctl.adapters.wheels.wheelhouse import collect_wheels
from stackctl.core.bundle.pack.wheel_choice import Wheel
from stackctl.core.text.progress import Transfer
from stackctl.errors import BundleError, RuntimeFailure
from tests.integration.stack_site import REPOSITORY, wait_for
from tests.package_index import PackageIndex, open_package_index

MACHINE = platform.machine()
PYTHONS = ("3.11", "3.12")
DEADLINE_S = 120.0
COLLECT = """
import sys
from pathlib import Path
from stackctl.adapters.wheels.wheelhouse import collect_wheels
collect_wheels(Path(sys.argv[1]), ("3.12",), Path(sys.argv[2]), sys.argv[3], print)
"""
BUILD = """
import sys
from pathlib import Path
import stackctl
from stackctl.adapters.wheels import wheel_downloads
from stackctl.adapters.wheels.own_wheel import build_own_wheel
assert stackctl.__file__.startswith(sys.argv[1]), stackctl.__file__
build_own_wheel(Path(sys.argv[2]))
"""


@pytest.fixture
def index(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[PackageIndex]:
    """An index that nothing else answers for, neither a cache nor this machine's configuration."""
    for name in [name for name in os.environ if name.startswith(("PIP_", "UV_")) or name.lower().endswith("_proxy")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("NETRC", os.devnull)
    monkeypatch.setenv("UV_NO_CONFIG", "1")
    monkeypatch.setenv("UV_CACHE_DIR", str(tmp_path / "uv-cache"))
    monkeypatch.setenv("UV_HTTP_RETRIES", "0")
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


@pytest.mark.parametrize("answer", ["nobody listens", "it refuses"])
def test_an_index_that_does_not_answer_is_no_package_without_a_wheel(
    index: PackageIndex, tmp_path: Path, answer: str
) -> None:
    lock = save_lock(tmp_path, f"plain==1.0 --hash=sha256:{index.add_wheel('plain')}")
    url = "http://ann:s3cret@127.0.0.1:9/simple"
    if answer == "it refuses":
        index.refuses = True
        url = index.url.replace("://", "://ann:s3cret@")
    with pytest.raises(RuntimeFailure, match=r"could not be found: .*(refused|Forbidden)") as caught:
        collect_wheels(lock, PYTHONS, tmp_path / "cache", url, lambda _: None)
    assert "s3cret" not in caught.value.message
    assert "PIP_INDEX_URL" in caught.value.hint


def test_a_package_that_the_index_does_not_have_is_named(index: PackageIndex, tmp_path: Path) -> None:
    lock = save_lock(
        tmp_path,
        f"absent==1.0 --hash=sha256:{'0' * 64}",
        f"plain==1.0 --hash=sha256:{index.add_wheel('plain')}",
        f"plain-too==1.0 --hash=sha256:{'1' * 64}",
    )
    with pytest.raises(BundleError) as caught:
        collect(lock, index, ("3.12",))
    assert [finding.subject for finding in caught.value.findings] == ["absent==1.0", "plain-too==1.0"]


def test_a_wheel_that_the_lock_does_not_name_is_no_wheel(index: PackageIndex, tmp_path: Path) -> None:
    index.add_wheel("plain")
    lock = save_lock(tmp_path, f"plain==1.0 --hash=sha256:{'0' * 64}")
    with pytest.raises(BundleError, match="can be carried") as caught:
        collect(lock, index)
    assert caught.value.findings[0].subject == "plain==1.0"
    assert index.fetched == []


def test_other_bytes_than_the_index_promised_are_refused(index: PackageIndex, tmp_path: Path) -> None:
    lock = save_lock(tmp_path, f"plain==1.0 --hash=sha256:{index.add_wheel('plain')}")
    index.swapped["plain-1.0-py3-none-any.whl"] = b"other bytes"
    with pytest.raises(BundleError, match=r"plain-1\.0-py3-none-any\.whl is not what the lock names"):
        collect(lock, index)
    assert not list((tmp_path / "cache").rglob("*.whl*"))


@pytest.mark.parametrize("place", ["the index's address", "netrc"])
def test_an_index_behind_a_login_gives_its_files_too(
    index: PackageIndex, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, place: str
) -> None:
    lock = save_lock(tmp_path, f"plain==1.0 --hash=sha256:{index.add_wheel('plain')}")
    index.login, index.moved = "ann:s3c ret", True
    url = index.url.replace("://", "://ann:s3c%20ret@")
    if place == "netrc":
        url = index.url
        (tmp_path / "netrc").write_text('machine 127.0.0.1 login ann password "s3c ret"\n')
        monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    said: list[str] = []
    (path,) = collect_wheels(lock, ("3.12",), tmp_path / "cache", url, said.append)
    assert path.name == "plain-1.0-py3-none-any.whl"
    kept = [item.read_text() for item in (tmp_path / "cache").rglob("*.json")]
    assert "s3c" not in "".join([*said, *kept])


def test_a_folder_of_wheels_beside_the_index_is_looked_at(
    index: PackageIndex, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lock = save_lock(tmp_path, f"plain==1.0 --hash=sha256:{index.add_wheel('plain')}")
    folder = tmp_path / "a folder"
    folder.mkdir()
    (folder / "plain-1.0-py3-none-any.whl").write_bytes(index.files.popitem()[1])
    monkeypatch.setenv("PIP_FIND_LINKS", folder.as_uri())
    assert collect(lock, index) == ["plain-1.0-py3-none-any.whl"]


def test_pip_s_proxy_is_asked_for_list_and_files(
    index: PackageIndex, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lock = save_lock(tmp_path, f"plain==1.0 --hash=sha256:{index.add_wheel('plain')}")
    monkeypatch.setenv("PIP_PROXY", index.url.removesuffix("/simple"))
    (path,) = collect_wheels(lock, ("3.12",), tmp_path / "cache", "http://index.invalid/simple", lambda _: None)
    assert path.name == "plain-1.0-py3-none-any.whl"


def test_a_connection_that_breaks_is_tried_again(
    index: PackageIndex, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(wheel_downloads, "_DELAY_S", 0.0)
    lock = save_lock(tmp_path, f"plain==1.0 --hash=sha256:{index.add_wheel('plain')}")
    index.broken.add("plain-1.0-py3-none-any.whl")
    assert collect(lock, index) == ["plain-1.0-py3-none-any.whl"]
    assert len(index.fetched) == 2


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
    (again,) = (tmp_path / "out").rglob("*.whl")
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


def test_the_wheel_brings_its_licence(own_wheel: Path) -> None:
    with zipfile.ZipFile(own_wheel) as archive:
        (metadata,) = [name for name in archive.namelist() if name.endswith(".dist-info/METADATA")]
        said = archive.read(metadata).decode()
        licence = archive.read(f"{metadata.removesuffix('METADATA')}licenses/LICENSE")
    assert "License-Expression: Apache-2.0\nLicense-File: LICENSE\n" in said
    assert licence == (REPOSITORY / "LICENSE").read_bytes()


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
    monkeypatch.setattr("stackctl.adapters.wheels.own_wheel.find_data_root", lambda: checkout)
    assert b"sk-planted" not in build_own_wheel(tmp_path / "out").read_bytes()


def test_a_changed_installation_is_not_passed_on(installed: Path, tmp_path: Path) -> None:
    with (installed / "stackctl" / "errors.py").open("a") as file:
        file.write("# changed\n")
    done = build_from(installed, tmp_path / "out")
    assert "changed: stackctl/errors.py" in done.stderr
    assert not (tmp_path / "out").exists()
