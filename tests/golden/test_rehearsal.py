"""Compose itself takes the rehearsal of every golden stack."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

from stackctl.core.proof.rehearsal import build_rehearsal_files
from stackctl.core.stack.names import COMPOSE_FILE
from tests.golden.rendering import NAMES, load_expected

# What the Compose file insists on; a doubled "$" is text.
VARIABLE = re.compile(r"(?<!\$)\$\{([A-Z0-9_]+):\?")


@pytest.mark.parametrize("name", NAMES)
def test_docker_compose_takes_the_rehearsal(name: str, docker_compose: str, tmp_path: Path) -> None:
    files = load_expected(name)
    for file, text in build_rehearsal_files(files, "").items():
        (tmp_path / file).write_text(text, encoding="utf-8")
    (tmp_path / "values").write_text("".join(f"{variable}=x\n" for variable in VARIABLE.findall(files[COMPOSE_FILE])))
    for overlay in (None, *sorted(path.name for path in tmp_path.glob("compose.p1.gpu-*.yml"))):
        options = ["--file", COMPOSE_FILE, *(["--file", overlay] if overlay else [])]
        argv = [docker_compose, "compose", *options, "--env-file", "values", "config", "--quiet"]
        done = subprocess.run(argv, cwd=tmp_path, capture_output=True, text=True, check=False)
        assert (done.returncode, done.stderr) == (0, "")
