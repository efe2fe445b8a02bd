"""What several sites of one machine share is made once, and with what belongs to the site that makes it."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from stackctl.adapters import environments
from stackctl.core.engine_choice import NATIVE, PORTABLE
from stackctl.core.engines import SERVICE_FOLDER
from stackctl.errors import EngineRefused

# Stands for the build: tells that it runs, and ends when it is told to.
BUILD = """
import sys, pathlib, time
target, signals = pathlib.Path(sys.argv[1]), pathlib.Path(__file__).parent
with (signals / "builds").open("a") as file:
    file.write("build\\n")
while not (signals / "go").exists():
    time.sleep(0.01)
target.mkdir(parents=True, exist_ok=True)
(target / "llama-server").touch()
"""

# Stands for uv: notes what it was given, and makes the environment's folder.
INSTALLER = """#!/bin/sh
printf "%s\\n" "$CMAKE_ARGS" >> {seen}
if [ "$1" = venv ]; then shift $(($# - 1)); mkdir -p "$1"; fi
"""


@pytest.fixture
def service(tmp_path: Path) -> Path:
    folder = tmp_path / "data" / "services" / "inference"
    folder.mkdir(parents=True)
    (folder / "build_llama_server.py").write_text(BUILD, encoding="utf-8")
    return folder


def test_two_sites_at_once_build_the_server_once(service: Path, tmp_path: Path) -> None:
    folder = tmp_path / "cache" / "hash"
    said: list[str] = []

    def build(on_line: Callable[[str], None]) -> None:
        environments.build_server(folder, NATIVE, service.parents[1], "", on_line)

    def let_the_first_end(line: str) -> None:
        said.append(line)
        (service / "go").touch()

    with ThreadPoolExecutor(2) as sites:
        # Whichever comes second says that it waits, and only then the build may end.
        for site in [sites.submit(build, let_the_first_end) for _ in range(2)]:
            site.result(30)
    assert said == ["another stackctl makes hash; waiting for it"]
    assert (service / "builds").read_text() == "build\n"
    assert (folder / "llama-server").is_file()


def test_a_build_that_does_not_answer_is_refused_with_what_it_did(service: Path, tmp_path: Path) -> None:
    script = service / "build_llama_server.py"
    script.write_text(
        "import sys\n"
        "print('compile 100%')\n"
        "print('refused: the new llama-server died of SIGSEGV in', *sys.argv[1:2], file=sys.stderr)\n"
        "sys.exit(3)\n",
        encoding="utf-8",
    )
    with pytest.raises(EngineRefused) as caught:
        environments.build_server(tmp_path / "cache" / "hash", PORTABLE, service.parents[1], "", print)
    assert caught.value.reason == "died of SIGSEGV in --portable"


def test_the_service_s_folder_is_put_into_variables_and_not_into_the_name(
    service: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lock = service / "requirements.lock"
    lock.touch()
    installer, seen = tmp_path / "uv", tmp_path / "seen"
    installer.write_text(INSTALLER.format(seen=seen), encoding="utf-8")
    installer.chmod(0o755)
    monkeypatch.setattr(environments, "find_installer", lambda: str(installer))
    variables = {"CMAKE_ARGS": f"-DX={SERVICE_FOLDER}/it"}
    folder = environments.find_environment(tmp_path / "cache", lock, variables)
    environments.make_environment(folder, lock, variables, "", print)
    assert set(seen.read_text().splitlines()) == {f"-DX={service}/it"}
    elsewhere = tmp_path / "elsewhere" / "inference"
    elsewhere.mkdir(parents=True)
    (elsewhere / "requirements.lock").touch()
    assert environments.find_environment(tmp_path / "cache", elsewhere / "requirements.lock", variables) == folder
