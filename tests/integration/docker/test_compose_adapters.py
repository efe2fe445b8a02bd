"""What is asked of Docker where Docker cannot be made to do it: clients that hang, drivers that hang, labels of old."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest

from stackctl.adapters.docker import container_gpu, image_fetch
from stackctl.adapters.docker.compose_runtime import ComposeRuntime
from stackctl.adapters.docker.container_gpu import ASK_GPU
from stackctl.adapters.docker.projects import FILES_LABEL, FOLDER_LABEL, PROJECT_LABEL, find_projects
from stackctl.core.stack.names import COMPOSE_FILE
from stackctl.core.stack.runtime import CompletedCommand


class LocalContainer:
    """A container whose programs are those of a folder, run here."""

    status = "running"

    def __init__(self, programs: Path) -> None:
        self.programs = programs

    def run(self, argv: Sequence[str]) -> CompletedCommand:
        done = subprocess.run(
            ["/bin/sh", "-c", '"$@" 2>&1', "sh", *argv],
            env={"PATH": str(self.programs)},
            capture_output=True,
            text=True,
            check=False,
        )
        return CompletedCommand(tuple(argv), done.returncode, done.stdout)


@pytest.mark.parametrize(
    ("programs", "said"),
    [
        ({"nvidia-smi": "echo 'GPU 0: a card'"}, ""),
        ({"nvidia-smi": "echo 'Failed to initialize NVML: Unknown Error'; exit 255"}, "Failed to initialize NVML"),
        ({"nvidia-smi": "exec /usr/bin/sleep 600"}, "nvidia-smi did not answer within 1 s"),
        ({}, ""),  # an image without the driver's program
        ({"nvidia-smi": "exit 255", "timeout": "echo 'timeout: unrecognized option: s'; exit 1"}, ""),
        ({"nvidia-smi": "echo lost; exit 255", "timeout": None}, ""),
    ],
)
def test_a_driver_that_hangs_in_the_container_is_told_and_holds_up_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, programs: Mapping[str, str | None], said: str
) -> None:
    (tmp_path / "timeout").symlink_to("/usr/bin/timeout")
    for name, script in programs.items():
        (tmp_path / name).unlink(missing_ok=True)
        if script is not None:
            (tmp_path / name).write_text(f"#!/bin/sh\n{script}\n")
            (tmp_path / name).chmod(0o755)
    monkeypatch.setattr(container_gpu, "SMI_TIMEOUT_S", 1)
    monkeypatch.setattr(container_gpu, "ASK_GPU", tuple("1" if part == "5" else part for part in ASK_GPU))
    monkeypatch.setattr(container_gpu, "run_inside", LocalContainer.run)
    runtime = ComposeRuntime("p", tmp_path, uses_curl=True)
    monkeypatch.setattr(runtime._containers, "list_all", lambda: {"inference-chat": LocalContainer(tmp_path)})
    told = runtime.explain_lost_gpu("inference-chat")
    assert (told.startswith(said), bool(told)) == (True, bool(said))


def test_a_container_that_does_not_say_its_version_is_not_left_running(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    client = tmp_path / "docker"
    client.write_text(
        '#!/bin/sh\necho "$@" >> "${0%/*}/asked"\n[ "$1" != run ] || exec /usr/bin/sleep 600\n', encoding="utf-8"
    )
    client.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    monkeypatch.setattr(image_fetch, "VERSION_S", 0.5)
    assert image_fetch._ask_version("someone/engine:1") == "no end within 0.5 s"
    run, remove = (tmp_path / "asked").read_text().splitlines()
    name = run.partition("--name ")[2].partition(" ")[0]
    assert name
    assert remove == f"rm --force {name}"


SITE = Path("/srv/site")
RENDERED = SITE / ".stack" / "rendered"
LABELS = (
    {PROJECT_LABEL: "plain", FOLDER_LABEL: str(RENDERED), FILES_LABEL: f"{RENDERED}/{COMPOSE_FILE}"},
    {
        PROJECT_LABEL: "overridden",
        FOLDER_LABEL: str(SITE),
        FILES_LABEL: f"{RENDERED}/{COMPOSE_FILE},{RENDERED}/compose.override.yml",
    },
    {PROJECT_LABEL: "the-owner-s-own", FOLDER_LABEL: str(SITE), FILES_LABEL: f"{SITE}/compose.yml"},
    {PROJECT_LABEL: "another-site", FOLDER_LABEL: "/srv/other", FILES_LABEL: f"/srv/other/{COMPOSE_FILE}"},
)


def test_a_forgotten_stack_is_found_with_and_without_an_override(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = "".join(f"{json.dumps(list(labels.values()))}\n" for labels in LABELS)
    (tmp_path / "rows").write_text(rows, encoding="utf-8")
    client = tmp_path / "docker"
    client.write_text('#!/bin/sh\n[ "$1 $2" = "ps --all" ] && exec cat "${0%/*}/rows"\n', encoding="utf-8")
    client.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    assert find_projects(RENDERED) == ("overridden", "plain")

    client.write_text("#!/bin/sh\necho 'Cannot connect to the Docker daemon' >&2\nexit 1\n", encoding="utf-8")
    assert find_projects(RENDERED) == ()
