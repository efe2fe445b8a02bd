"""What several sites of one machine share is built once, by one of them, in a folder of this user alone."""

from __future__ import annotations

import stat
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from stackctl.adapters.engine_build import BUILD_FILE, load_toolkit, make_build
from stackctl.core.engine_build import NATIVE, PORTABLE, Build, Toolkit, parse_build
from stackctl.errors import EngineRefused, RuntimeFailure

# Stands for the build: tells that it runs, and ends when it is told to.
BUILD = """
import os, sys, pathlib, time
target, signals = pathlib.Path(sys.argv[-1]), pathlib.Path(__file__).parent
with (signals / "builds").open("a") as file:
    file.write("build\\n")
while not (signals / "go").exists():
    time.sleep(0.01)
target.mkdir(parents=True, exist_ok=True)
(target / "llama-server").touch()
(target / "seen").write_text(" ".join(sys.argv[1:-1]) + " " + os.environ.get("CUDACXX", ""))
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
        make_build(folder / "llama-server", NATIVE, service.parents[1], "", on_line)

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
        make_build(tmp_path / "cache" / "llama-server", PORTABLE, service.parents[1], "", print)
    assert caught.value.reason == "died of SIGSEGV in --portable"


CUDA = Build("cuda-90", ("--gpu", "cuda", "--architecture", "90"), True, "nvidia", "13.0", {"CUDACXX": "/opt/nvcc"})


def test_a_build_for_a_gpu_is_given_its_compiler_and_kept_for_this_user_alone(service: Path, tmp_path: Path) -> None:
    (service / "go").touch()
    folder = tmp_path / "cache" / "cuda-90-hash"
    make_build(folder / "llama-server", CUDA, service.parents[1], "", print)
    assert (folder / "seen").read_text() == "--gpu cuda --architecture 90 /opt/nvcc"
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert parse_build((folder / BUILD_FILE).read_text()) == CUDA


def test_nothing_is_built_where_others_could_change_it(service: Path, tmp_path: Path) -> None:
    folder = tmp_path / "cache" / "hash"
    folder.mkdir(parents=True)
    folder.chmod(0o777)
    with pytest.raises(RuntimeFailure, match="can be written by others"):
        make_build(folder / "llama-server", NATIVE, service.parents[1], "", print)


def test_a_build_that_fails_says_what_the_compiler_said(service: Path, tmp_path: Path) -> None:
    (service / "build_llama_server.py").write_text("import sys; sys.exit('nvcc fatal: no such card')", encoding="utf-8")
    with pytest.raises(RuntimeFailure, match="nvcc fatal: no such card"):
        make_build(tmp_path / "cache" / "hash" / "llama-server", CUDA, service.parents[1], "", print)
    assert not (tmp_path / "cache" / "hash" / BUILD_FILE).exists()


def test_a_gpu_s_compiler_is_found_with_its_version_and_what_is_missing_beside_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, text in (("nvcc", "Cuda compilation tools, release 12.8, V12.8.93"), ("c++", "")):
        program = tmp_path / "bin" / name
        program.parent.mkdir(exist_ok=True)
        program.write_text(f"#!/bin/sh\necho '{text}'\n", encoding="utf-8")
        program.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    compiler = str(tmp_path / "bin" / "nvcc")
    cublas = "cuBLAS with its headers (Debian: libcublas-dev of the toolkit's version)"
    assert load_toolkit("nvidia") == Toolkit(compiler, "12.8", ("CMake", cublas))
    header = tmp_path / "include" / "cublas_v2.h"
    header.parent.mkdir()
    header.touch()
    assert load_toolkit("nvidia") == Toolkit(compiler, "12.8", ("CMake",))
