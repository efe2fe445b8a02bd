"""``bootstrap/install.sh`` on a machine that has a Python without pip and nothing else, in a network without routes."""

from __future__ import annotations

import hashlib
import os
import platform
import shutil
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest

from stackctl import __version__
from stackctl.adapters.files.site_files import find_cache_dir
from stackctl.adapters.wheels.own_wheel import build_own_wheel
from stackctl.adapters.wheels.wheelhouse import collect_wheels
from stackctl.core.bundle.format.manifest import Platform
from stackctl.programs import install
from tests.bundle_builder import build_bundle
from tests.integration.stack_site import REPOSITORY

DEADLINE_S = 240.0
PYTHON = f"{sys.version_info.major}.{sys.version_info.minor}"
ARCHITECTURE = {"x86_64": "amd64", "aarch64": "arm64"}.get(platform.machine(), platform.machine())
OTHER = {"amd64": "arm64", "arm64": "amd64"}


def find_isolation() -> list[str]:
    """What starts a command in a network of its own, where this machine lets us make one."""
    for argv in (["unshare", "--net"], ["unshare", "--net", "--map-root-user"]):
        if shutil.which(argv[0]) and subprocess.run([*argv, "true"], capture_output=True, check=False).returncode == 0:
            return argv
    return []


@pytest.fixture(scope="session")
def bootstrap(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """What the packer puts beside the parts."""
    lock = REPOSITORY / "requirements.lock"
    wheels = collect_wheels(lock, (PYTHON,), find_cache_dir(os.environ), "", print)
    own = build_own_wheel(tmp_path_factory.mktemp("wheel"))
    files = {f"wheels/{path.name}": path.read_bytes() for path in (*wheels, own)}
    digest = hashlib.sha256(own.read_bytes()).hexdigest()
    files["requirements.lock"] = lock.read_bytes() + f"stackctl=={__version__} --hash=sha256:{digest}\n".encode()
    files["install.sh"] = (REPOSITORY / "scripts" / "offline-install.sh").read_bytes()
    files["install.py"] = (REPOSITORY / "stackctl" / "programs" / "install.py").read_bytes()
    return files


@dataclass(frozen=True, slots=True)
class Machine:
    """A user's home on a machine whose PATH has little.

    Attributes:
        bundle: the bundle's folder.
    """

    home: Path
    bundle: Path
    environment: Mapping[str, str]

    @property
    def command(self) -> Path:
        return self.home / ".local" / "bin" / "stackctl"

    def install(self) -> subprocess.CompletedProcess[str]:
        return self.run("/bin/sh", str(self.bundle / "bootstrap" / "install.sh"))

    def run(self, *argv: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [*find_isolation(), *argv],
            env=dict(self.environment),
            cwd=self.home,
            capture_output=True,
            text=True,
            timeout=DEADLINE_S,
            check=False,
        )


def make_machine(folder: Path, bootstrap: Mapping[str, bytes], architecture: str = ARCHITECTURE) -> Machine:
    platform_ = Platform(os="linux", architecture=architecture, python=(PYTHON,))  # type: ignore[arg-type]
    manifest = build_bundle(folder / "a disk", files={"a": b"a"}, bootstrap=bootstrap, platform=platform_)
    home, programs = folder / "a home", folder / "bin"
    home.mkdir()
    programs.mkdir()
    for name in ("sh", "dirname", "unshare", "true"):
        (programs / name).symlink_to(shutil.which(name) or "/bin/true")
    # A Python as Debian ships it: its own library, and neither pip nor ensurepip.
    python = programs / f"python{PYTHON}"
    python.write_text(f'#!/bin/sh\nexec "{Path(sys.executable).resolve()}" "$@"\n')
    python.chmod(0o755)
    (programs / "python3").symlink_to(python)
    environment = {"HOME": str(home), "PATH": str(programs), "PIP_INDEX_URL": "http://index.invalid", "LANG": "C.UTF-8"}
    return Machine(home, folder / "a disk" / manifest.folder, environment)


def test_it_installs_a_command_that_works(bootstrap: dict[str, bytes], tmp_path: Path) -> None:
    machine = make_machine(tmp_path, bootstrap)
    done = machine.install()
    assert done.returncode == 0, done.stderr
    assert f"offline-load --key KEY '{machine.bundle}'" in done.stdout
    assert f"{machine.command}' up" in done.stdout
    assert "That folder needs 1 B for models and files." in done.stdout
    assert "noexec" not in done.stdout
    asked = machine.run(str(machine.command), "--version")
    assert asked.stdout.strip() == f"stackctl, version {__version__}"
    target = (machine.home / ".local" / "share" / "stackctl" / "current").resolve()
    again = machine.install()
    assert again.returncode == 0, again.stderr
    assert (machine.home / ".local" / "share" / "stackctl" / "current").resolve() == target
    loaded = machine.run(str(machine.command), "--site", str(machine.home), "offline-load", str(machine.bundle))
    assert (loaded.returncode, "no public key" in loaded.stderr) == (7, True), loaded.stderr


def test_a_search_path_for_folders_does_not_mislead_it(bootstrap: dict[str, bytes], tmp_path: Path) -> None:
    machine = make_machine(tmp_path, bootstrap)
    script = f"cd '{machine.bundle}'; CDPATH='{machine.bundle}'; export CDPATH; exec sh bootstrap/install.sh"
    done = machine.run("/bin/sh", "-c", script)
    assert done.returncode == 0, done.stderr


def test_folders_that_cannot_be_written_are_named(bootstrap: dict[str, bytes], tmp_path: Path) -> None:
    machine = make_machine(tmp_path, bootstrap)
    (machine.home / ".local").write_text("a file")
    done = machine.install()
    assert done.returncode == 5
    assert f"error: {machine.home}/.local/share" in done.stderr
    assert "--to" in done.stderr
    assert "Traceback" not in done.stderr


def test_sums_that_are_no_text_are_refused(bootstrap: dict[str, bytes], tmp_path: Path) -> None:
    machine = make_machine(tmp_path, bootstrap)
    (machine.bundle / "SHA256SUMS").write_bytes(b"\xff\xfe")
    done = machine.install()
    assert (done.returncode, "Traceback" in done.stderr) == (7, False)


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (lambda folder: (folder / "install.py").write_bytes((folder / "install.py").read_bytes() + b"#"), "altered"),
        (lambda folder: next((folder / "wheels").glob("click-*.whl")).write_bytes(b"x"), "click-"),
        (lambda folder: next((folder / "wheels").glob("uv-*.whl")).unlink(), "is missing"),
        (lambda folder: (folder / "wheels" / "evil-1-py3-none-any.whl").write_bytes(b"x"), "does not belong here"),
    ],
    ids=["its program", "a wheel", "a missing wheel", "an extra wheel"],
)
def test_what_was_altered_is_named_and_nothing_is_installed(
    bootstrap: dict[str, bytes], tmp_path: Path, damage: object, words: str
) -> None:
    machine = make_machine(tmp_path, bootstrap)
    assert callable(damage)
    damage(machine.bundle / "bootstrap")
    done = machine.install()
    assert done.returncode == 7
    assert words in done.stderr
    assert not machine.command.exists()


def test_a_bundle_for_another_machine_is_refused(bootstrap: dict[str, bytes], tmp_path: Path) -> None:
    machine = make_machine(tmp_path, bootstrap, OTHER.get(ARCHITECTURE, "amd64"))
    done = machine.install()
    assert done.returncode == 3
    assert f"this machine is linux/{ARCHITECTURE}" in done.stderr


def test_a_machine_without_a_python_of_that_version_is_told_which(bootstrap: dict[str, bytes], tmp_path: Path) -> None:
    machine = make_machine(tmp_path, bootstrap)
    (tmp_path / "bin" / f"python{PYTHON}").unlink()
    (tmp_path / "bin" / "python3").unlink()
    done = machine.install()
    assert done.returncode == 3
    assert "no Python 3 is on PATH" in done.stderr
    assert "next:" in done.stderr


def test_a_home_from_which_no_program_may_be_started_is_named(bootstrap: dict[str, bytes], tmp_path: Path) -> None:
    machine = make_machine(tmp_path, bootstrap)
    mount = 'mount -t tmpfs -o noexec none "$HOME"'
    if subprocess.run(["unshare", "--mount", "sh", "-c", "mount -t tmpfs none /mnt"], check=False).returncode:
        pytest.skip("this user may not mount")
    path = {"PATH": f"{machine.environment['PATH']}:{os.environ['PATH']}"}
    elsewhere = tmp_path / "elsewhere"

    def install(*arguments: str) -> subprocess.CompletedProcess[str]:
        script = f'{mount} && exec sh "$0" "$@"'
        argv = ["unshare", "--mount", "sh", "-c", script, str(machine.bundle / "bootstrap" / "install.sh"), *arguments]
        environment = {**machine.environment, **path}
        return subprocess.run(
            argv, env=environment, capture_output=True, text=True, timeout=DEADLINE_S, check=False, cwd=tmp_path
        )

    done = install()
    assert done.returncode == 5, done.stderr
    assert "mounted noexec" in done.stderr
    assert "--to FOLDER" in done.stderr
    done = install("--to", str(elsewhere), "--bin", str(elsewhere / "bin"))
    assert done.returncode == 0, done.stderr
    assert "warning: " in done.stdout
    assert "XDG_CACHE_HOME" in done.stdout


def test_a_user_without_a_home_is_told_to_name_one(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("HOME", raising=False)
    monkeypatch.setattr("pwd.getpwuid", {}.__getitem__)
    assert install.main() == install.FAILED
    assert "next:  set HOME to a folder" in capsys.readouterr().err
