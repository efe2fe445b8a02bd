"""What several sites of one machine share is built once, by one of them, in a folder of this user alone."""

from __future__ import annotations

import stat
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from stackctl.adapters.process import engine_store
from stackctl.adapters.process.engine_build import BUILD_FILE, load_toolkit, make_build
from stackctl.adapters.process.engine_store import EngineStore
from stackctl.cli.world.runtimes import SiteRuntimes
from stackctl.core.engine.build import NATIVE, PORTABLE, Build, Toolkit, parse_build, write_build
from stackctl.errors import EngineRefused, RuntimeFailure
from stackctl.operations.engine.installations import Installation
from tests.fakes import CHECKOUT, World

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


@pytest.mark.parametrize(("status", "is_lasting"), [(3, True), (4, False)])
def test_a_build_that_does_not_answer_is_refused_with_what_it_did(
    service: Path, tmp_path: Path, status: int, is_lasting: bool
) -> None:
    script = service / "build_llama_server.py"
    script.write_text(
        "import sys\n"
        "print('compile 100%')\n"
        "print('refused: the new llama-server died of SIGSEGV in', *sys.argv[1:2], file=sys.stderr)\n"
        f"sys.exit({status})\n",
        encoding="utf-8",
    )
    with pytest.raises(EngineRefused) as caught:
        make_build(tmp_path / "cache" / "llama-server", PORTABLE, service.parents[1], "", print)
    assert caught.value.reason == "died of SIGSEGV in --portable"
    assert caught.value.is_lasting is is_lasting


VULKAN = Build("vulkan", ("--gpu", "vulkan"), True, "vulkan", "2023.8")
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


@pytest.mark.parametrize("name", [".", "llama-server"])
def test_nothing_is_started_that_others_could_have_put_there(
    service: Path, tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(engine_store, "has_device", lambda kind: True)
    store = EngineStore(tmp_path / "cache", CHECKOUT)
    program = store.find_build(VULKAN) / "llama-server"
    program.parent.mkdir(parents=True, mode=0o700)
    program.touch(mode=0o700)
    (program.parent / BUILD_FILE).write_text(write_build(VULKAN))
    make_build(program, VULKAN, service.parents[1], "", print)
    assert store.list_gpu_builds() == (VULKAN,)
    (program.parent / name).chmod(0o777)
    with pytest.raises(RuntimeFailure, match="can be written by others"):
        make_build(program, VULKAN, service.parents[1], "", print)
    assert store.list_gpu_builds() == ()
    effects = World().effects
    runtimes = SiteRuntimes(effects.paths, effects.files, effects.engines)
    need = runtimes.build_need(Installation("llama-server", program, build=VULKAN), "", None)
    with pytest.raises(RuntimeFailure, match="can be written by others"):
        need.is_there()


def test_a_build_for_amd_is_given_the_compiler_behind_the_wrapper(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """CMake stops where HIPCXX names hipcc."""
    bin_folder, llvm = tmp_path / "bin", tmp_path / "llvm"
    for folder in (bin_folder, llvm):
        folder.mkdir()
    says = {"hipcc": "HIP version: 6.2.41133", "hipconfig": str(llvm), "c++": "", "cmake": ""}
    for name, text in says.items():
        (bin_folder / name).write_text(f"#!/bin/sh\necho '{text}'\n", encoding="utf-8")
        (bin_folder / name).chmod(0o755)
    monkeypatch.setenv("PATH", str(bin_folder))
    assert load_toolkit("amd") == Toolkit("", "6.2", ("ROCm's clang++ (its hipconfig names none)",))
    (llvm / "clang++").touch()
    assert load_toolkit("amd") == Toolkit(str(llvm / "clang++"), "6.2")


def test_an_ended_build_leaves_no_folder_behind(tmp_path: Path) -> None:
    programs, work = tmp_path / "bin", tmp_path / "tmp"
    for folder in (programs, work):
        folder.mkdir()
    (programs / "cmake").write_text("#!/bin/sh\necho '[ 1%]'\nexec sleep 600\n", encoding="utf-8")
    (programs / "cmake").chmod(0o755)
    script = (
        "import sys, build_llama_server as b, pathlib\n"
        "b.check_hash = lambda *a: None\n"
        "b.extract_source = lambda archive, work: work\n"
        "sys.exit(b.main(sys.argv[1:]))\n"
    )
    environment = {
        "PATH": f"{programs}:/usr/bin:/bin",
        "TMPDIR": str(work),
        "PYTHONPATH": str(CHECKOUT / "services" / "inference"),
    }
    argv = [sys.executable, "-c", script, "--sdist", "/dev/null", str(tmp_path / "target")]
    with subprocess.Popen(argv, env=environment, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        assert next(line for line in process.stderr if "%" in line) == "configure 1%\n"
        assert list(work.glob("llama-server-*"))
        process.terminate()
        assert process.wait(30) == 130
    assert list(work.iterdir()) == []


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
