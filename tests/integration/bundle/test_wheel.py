"""The wheel alone makes and runs a site: templates, services and the demo model come from inside it."""

from __future__ import annotations

import subprocess
import sys
import zipfile
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
from uv import find_uv_bin

from stackctl.adapters.process.pip_settings import find_installer_settings
from tests.integration.stack_site import ANSWERS, REPOSITORY, Site, clean_environment

QUESTION = "What are you?"
# A wheel is built from the checkout by the build backend that is installed, so nothing is fetched.
BUILD = (find_uv_bin(), "build", "--wheel", "--no-build-isolation", "--offline", "--quiet")


def run(argv: Sequence[str | Path], folder: Path) -> str:
    """Run a command outside the checkout and without its environment; its output."""
    # uv is told what pip is told on this machine, as the project's own installation tells it.
    settings = find_installer_settings("")
    environment = clean_environment(VIRTUAL_ENV="", PYTHONPATH="", PYTHONDONTWRITEBYTECODE="1", **settings)
    done = subprocess.run(argv, cwd=folder, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{argv}: {done.stdout}\n{done.stderr}"
    return done.stdout


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel of this checkout."""
    folder = tmp_path_factory.mktemp("wheel")
    run([*BUILD, "--python", sys.executable, "--out-dir", folder, REPOSITORY], folder)
    return next(folder.glob("stackctl-*.whl"))


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """``stackctl`` of a fresh environment that has the locked dependencies and the wheel."""
    environment = tmp_path_factory.mktemp("an environment") / "venv"
    uv, python = find_uv_bin(), environment / "bin" / "python"
    run([uv, "venv", "--quiet", "--no-project", "--python", sys.executable, environment], wheel.parent)
    install: list[str | Path] = [uv, "pip", "install", "--quiet", "--no-deps", "--python", python]
    run([*install, "--require-hashes", "-r", REPOSITORY / "requirements.lock"], wheel.parent)
    run([*install, wheel], wheel.parent)
    return environment / "bin" / "stackctl"


@pytest.fixture
def site(installed: Path, tmp_path: Path) -> Iterator[Site]:
    """A site that the installed command made."""
    made = Site.create(tmp_path / "a site of the wheel", (str(installed),))
    try:
        yield made
    finally:
        made.stop()


def test_the_wheel_holds_what_the_checkout_holds(wheel: Path) -> None:
    names = set(zipfile.ZipFile(wheel).namelist())
    data = {name.removeprefix("stackctl/_data/") for name in names if name.startswith("stackctl/_data/")}
    wanted = {
        path.relative_to(REPOSITORY).as_posix()
        for folder in ("compose", "services")
        for path in (REPOSITORY / folder).rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    assert wanted | {"models/demo.gguf", "models/demo.json", ".env.example", "stack.yml"} <= data
    assert [name for name in names if "__pycache__" in name or "/tests/" in name or name.endswith("/.env")] == []


def test_an_installed_stackctl_makes_and_runs_a_site(site: Site, installed: Path, tmp_path: Path) -> None:
    package = next(installed.parents[1].glob("lib/python3*/site-packages/stackctl"))
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()

    def stackctl(*arguments: str) -> str:
        return run([installed, "--site", site.path, *arguments], elsewhere)

    assert sorted(path.name for path in site.path.iterdir()) == [
        ".env",
        "models",
        "stack.schema.json",
        "stack.yml",
    ]
    assert "written" in stackctl("render")
    assert str(REPOSITORY) not in "".join(path.read_text() for path in (site.state / "rendered").iterdir())
    assert "is up" in stackctl("up")
    assert stackctl("chat", QUESTION, "--temperature", "0").strip() == ANSWERS[QUESTION]
    assert '"status": "ok"' in stackctl("health", "--json")
    processes = site.list_processes()
    lines = [Path(f"/proc/{pid}/cmdline").read_text() for pid in processes]
    assert any(str(package / "_data" / "models" / "demo.gguf") in line for line in lines)
    assert not any(str(REPOSITORY / "stackctl") in line or str(REPOSITORY / "services") in line for line in lines)
    assert "is down" in stackctl("down")
    assert site.list_processes() == []
    assert list(elsewhere.iterdir()) == []
