"""This program's own wheel: the same from a checkout and from an installation, whole, and without secrets."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
from uv import find_uv_bin

from stackctl.adapters.wheels.own_wheel import build_own_wheel
from tests.integration.stack_site import REPOSITORY

BUILD = """
import sys
from pathlib import Path
import stackctl
from stackctl.adapters.wheels import wheel_downloads
from stackctl.adapters.wheels.own_wheel import build_own_wheel
assert stackctl.__file__.startswith(sys.argv[1]), stackctl.__file__
build_own_wheel(Path(sys.argv[2]))
"""


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
