"""``make`` on a checkout whose environment does not work any more: it is made again, by itself."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from tests.fakes import CHECKOUT
from tests.integration.stack_site import clean_environment


@pytest.fixture(scope="module")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkout with its environment, in a folder with a space in its name."""
    folder = tmp_path_factory.mktemp("check outs") / "first"
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=CHECKOUT, capture_output=True, text=True, check=True)
    for name in filter(None, listed.stdout.split("\0")):
        if (CHECKOUT / name).is_file():  # a file may be deleted and not yet committed so
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(CHECKOUT / name, folder / name)
    done = run(folder, "make", "status")
    assert done.returncode == 0, done.stderr
    return folder


def run(folder: Path, *command: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command, cwd=folder, env=clean_environment(), capture_output=True, text=True, check=False, timeout=600
    )


def works(folder: Path) -> bool:
    return run(folder, "sh", "scripts/bootstrap.sh", "--check", ".venv").returncode == 0


def assert_repaired(folder: Path) -> None:
    """The target does its work, and the program runs this checkout's code, called by its own name, too."""
    done = run(folder, "make", "status")
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("installing stackctl into .venv")
    assert "not running" in done.stdout
    assert works(folder)
    assert run(folder, ".venv/bin/stackctl", "--version").returncode == 0
    assert "installing" not in run(folder, "make", "status").stdout


def test_an_environment_that_works_is_left_alone(checkout: Path) -> None:
    assert works(checkout)
    assert "installing" not in run(checkout, "make", "status").stdout


def test_a_copy_of_a_checkout_does_not_run_the_originals_code(checkout: Path, tmp_path: Path) -> None:
    copy = shutil.copytree(checkout, tmp_path / "copy", symlinks=True)
    assert works(checkout)
    assert not works(copy)


@pytest.mark.parametrize("change", ["the interpreter is gone", "another Python is in its place"])
def test_an_environment_after_an_upgrade_of_python_does_not_work(checkout: Path, tmp_path: Path, change: str) -> None:
    environment = checkout / ".venv"
    kept = environment.rename(tmp_path / "kept")
    shutil.copytree(kept, environment, symlinks=True)
    assert works(checkout)
    if change == "the interpreter is gone":
        for link in environment.glob("bin/python*"):
            link.unlink()
            link.symlink_to("/nowhere/python3")
    else:
        (packages,) = environment.glob("lib/python3*")
        packages.rename(packages.with_name("python3.10"))
    assert not works(checkout)
    shutil.rmtree(environment)
    kept.rename(environment)


def test_a_target_that_is_none_gets_a_word(checkout: Path) -> None:
    done = run(checkout, "make", "up")
    assert done.returncode == 2
    assert "there is no target 'up'" in done.stderr
    assert "'make' lists them" in done.stderr
    assert "No rule" not in done.stderr


def test_the_list_of_targets_is_two_columns(checkout: Path) -> None:
    lines = run(checkout, "make").stdout.splitlines()
    begins = {len(line) - len(line.split(None, 2)[2]) for line in lines}
    assert len(begins) == 1, lines


def test_starting_the_stack_does_not_say_how_to_start_it(checkout: Path) -> None:
    assert "starts the stack" not in run(checkout, "make", "--dry-run", "up-p1").stdout
    assert "starts the stack" in run(checkout, "make", "--dry-run", "setup").stdout


def test_a_checkout_that_was_moved_is_repaired(checkout: Path) -> None:
    """The last one: the environment is the moved checkout's then."""
    assert_repaired(checkout.rename(checkout.with_name("moved")))
