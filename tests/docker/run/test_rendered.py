"""The files that a real site starts from are files that Compose takes, with every overlay."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from stackctl.core.stack.names import COMPOSE_FILE, GPU_OVERLAYS
from tests.docker.sites import Site, build_environment

pytestmark = pytest.mark.docker


@pytest.fixture(scope="module")
def rendered(running: Site, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("rendered")
    running.run_well("render", "--out", str(folder))
    return folder


def run_config(rendered: Path, overlays: tuple[str, ...], variables: dict[str, str]) -> tuple[int, str]:
    files = [part for name in (COMPOSE_FILE, *overlays) for part in ("--file", str(rendered / name))]
    argv = ["docker", "compose", *files, "--env-file", "/dev/null", "config", "--quiet"]
    done = subprocess.run(argv, env=build_environment(variables), capture_output=True, text=True, check=False)
    return done.returncode, done.stdout + done.stderr


@pytest.mark.parametrize("overlays", [(), *((name,) for name in GPU_OVERLAYS.values())])
def test_compose_takes_it_without_a_word(running: Site, rendered: Path, overlays: tuple[str, ...]) -> None:
    assert run_config(rendered, overlays, running.keys) == (0, "")


def test_without_a_key_compose_names_it(running: Site, rendered: Path) -> None:
    keys = {name: value for name, value in running.keys.items() if name != "INFERENCE_API_KEY"}
    code, text = run_config(rendered, (), keys)
    assert code != 0
    assert "INFERENCE_API_KEY" in text
    assert "--env-file .env" in text


def test_compose_by_hand_works_with_the_environment_file_and_changes_nothing(running: Site) -> None:
    before = running.list_ids()
    by_hand = ["docker", "compose", "--file", ".stack/rendered/compose.p1.yml"]

    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [*by_hand, *arguments],
            cwd=running.folder,
            env=build_environment(),
            capture_output=True,
            text=True,
            check=False,
        )

    assert "add --env-file .env" in run("ps").stderr
    done = run("--env-file", ".env", "up", "--detach", "--no-build")
    assert done.returncode == 0, done.stderr
    assert running.list_ids() == before


def test_what_runs_is_what_is_rendered(running: Site) -> None:
    """``render --check`` compares with the site's own files, which the running stack was started from."""
    done = running.run("render", "--out", str(running.folder / ".stack" / "rendered"), "--check")
    assert done.code == 0, done.text
