"""Engines are asked before they serve: real ones, and some that die as a CPU's faulty kernels make them die."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from build_llama_server import NoAnswer, check_answer, check_device
from engine_trial import find_function, try_engine

from stackctl.adapters.process import engine_store
from stackctl.core.engine.choice import EngineForm
from stackctl.core.engine.engines import ENGINE_FOLDER, ENGINES, LLAMA_CPP
from stackctl.core.engine.trial import EngineRecord
from tests.integration.conftest import MakeSite
from tests.integration.engine.test_engines import prepare_command
from tests.integration.stack_site import DEMO_MODEL, REPOSITORY, clean_environment
from tests.processes import is_alive
from tests.waiting import wait_for

# A llama-server whose kernels for repacked weights kill it; without them it is a real engine.
CRASHES_REPACKED = """#!/bin/sh
if [ "$LLAMA_ARG_REPACK" != 0 ]; then kill -SEGV $$; fi
exec {engine} "$@"
"""
DIES = "#!/bin/sh\nkill -SEGV $$\n"
# Reads as a real program's fault does: a write to nowhere, in a function with a name.
FAULTY_SOURCE = """
volatile int *tiles;
__attribute__((noipa)) void multiply_tiles(void) { *tiles = 1; }
int main(void) { multiply_tiles(); return 0; }
"""
MODELS = DEMO_MODEL.parent

MakeProgram = Callable[[str], Path]


@pytest.fixture
def make_program(tmp_path: Path) -> MakeProgram:
    def make(text: str) -> Path:
        path = tmp_path / "bin" / "llama-server"
        path.parent.mkdir(exist_ok=True)
        engine = " ".join(f"'{word}'" for word in prepare_command(ENGINES["xllamacpp"]))
        path.write_text(text.format(engine=engine), encoding="utf-8")
        path.chmod(0o755)
        return path

    return make


def test_a_real_engine_answers() -> None:
    trial = try_engine(prepare_command(ENGINES["xllamacpp"]), MODELS)
    assert (trial.failure, trial.is_lasting, trial.signal) == ("", True, "")


def test_a_real_engine_answers_without_repacked_weights_too() -> None:
    trial = try_engine(prepare_command(ENGINES["xllamacpp"]), MODELS, {"LLAMA_ARG_REPACK": "0"})
    assert trial.failure == ""


def test_one_that_dies_says_of_which_signal(make_program: MakeProgram) -> None:
    trial = try_engine([str(make_program(DIES))], MODELS)
    assert trial.failure.startswith("died of SIGSEGV")
    assert (trial.is_lasting, trial.signal) == (True, "SIGSEGV")


@pytest.mark.skipif(not (shutil.which("gdb") and shutil.which("gcc")), reason="needs gdb and gcc")
def test_one_that_dies_says_in_which_function_where_a_debugger_is(tmp_path: Path) -> None:
    source, program = tmp_path / "faulty.c", tmp_path / "llama-server"
    source.write_text(FAULTY_SOURCE, encoding="utf-8")
    subprocess.run(["gcc", "-O1", "-o", str(program), str(source)], check=True)
    assert try_engine([str(program)], MODELS).failure == "died of SIGSEGV in multiply_tiles"


def test_an_abort_is_put_down_to_the_function_that_asked_for_it() -> None:
    frames = [
        "#0  0x00007f1 in __pthread_kill_implementation () from /lib/libc.so.6",
        "#1  0x00007f2 in raise () from /lib/libc.so.6",
        "#2  0x00007f3 in abort () from /lib/libc.so.6",
        "#3  0x000055d in ggml_abort ()",
        "#4  0x000055e in ggml_compute_forward_mul_mat(ggml_compute_params const*, ggml_tensor*) ()",
    ]
    assert find_function(frames) == "ggml_compute_forward_mul_mat"
    assert find_function(["No stack."]) == ""


def test_what_may_pass_is_told_apart_from_what_stays(make_program: MakeProgram, tmp_path: Path) -> None:
    program = make_program("#!/bin/sh\necho 'error while loading shared libraries: libcuda.so.1' >&2\nexit 127\n")
    trial = try_engine([str(program)], MODELS)
    assert trial.failure == "ended with code 127: error while loading shared libraries: libcuda.so.1"
    assert not trial.is_lasting
    assert try_engine([str(tmp_path / "absent")], MODELS).failure == "cannot be started: No such file or directory"


def test_an_engine_that_hangs_is_ended(make_program: MakeProgram) -> None:
    trial = try_engine([str(make_program("#!/bin/sh\nexec sleep 1000\n"))], MODELS, deadline_s=0.5)
    assert trial.failure == "was not ready in 0.5 s (/health: no answer)"
    assert not trial.is_lasting


def test_a_build_that_dies_is_not_installed(make_program: MakeProgram, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(NoAnswer, match="died of SIGSEGV") as caught:
        check_answer(make_program(DIES))
    assert caught.value.is_lasting
    with pytest.raises(NoAnswer, match="died of SIGKILL") as caught:
        check_answer(make_program(DIES.replace("SEGV", "KILL")))
    assert not caught.value.is_lasting
    check_answer(make_program(CRASHES_REPACKED))
    assert "it answers with LLAMA_ARG_REPACK=0" in capsys.readouterr().err


@pytest.mark.parametrize("listed", ["  (none)", ""])
def test_a_build_for_a_gpu_that_finds_none_is_not_installed(make_program: MakeProgram, listed: str) -> None:
    with pytest.raises(NoAnswer, match="finds no GPU") as caught:
        check_device(make_program(f"#!/bin/sh\necho 'Available devices:'\necho '{listed}'\n"))
    assert not caught.value.is_lasting
    check_device(
        make_program("#!/bin/sh\necho 'Available devices:'\necho '  CUDA0: NVIDIA H200 (1 MiB, 1 MiB free)'\n")
    )


def test_a_crash_is_remembered_until_the_file_changes(make_program: MakeProgram, tmp_path: Path) -> None:
    program = make_program(DIES)
    form = EngineForm(LLAMA_CPP, "llama-server on PATH", (str(program),))
    store = engine_store.EngineStore(tmp_path / "cache", REPOSITORY)
    record = EngineRecord(works=False, reason="died of SIGSEGV")
    assert store.load_record(form, gpu=True) is None
    store.save_record(form, True, record, lasting=True)
    later = engine_store.EngineStore(tmp_path / "cache", REPOSITORY)
    assert later.load_record(form, gpu=True) == record
    make_program("#!/bin/sh\n# another build\n")
    assert later.load_record(form, gpu=True) is None


def test_what_may_pass_is_remembered_by_this_command_alone(make_program: MakeProgram, tmp_path: Path) -> None:
    form = EngineForm(LLAMA_CPP, "llama-server on PATH", (str(make_program(DIES)),))
    store = engine_store.EngineStore(tmp_path / "cache", REPOSITORY)
    record = EngineRecord(works=False, reason="ended with code 127")
    store.save_record(form, True, record, lasting=False)
    assert store.load_record(form, gpu=True) == record
    assert engine_store.EngineStore(tmp_path / "cache", REPOSITORY).load_record(form, gpu=True) is None


def test_up_starts_a_crashing_engine_with_its_remedy_and_says_so(
    make_site: MakeSite, make_program: MakeProgram, monkeypatch: pytest.MonkeyPatch
) -> None:
    program = make_program(CRASHES_REPACKED)
    monkeypatch.setenv("PATH", str(program.parent), prepend=os.pathsep)
    site = make_site()
    done = site.run("up")
    said = " ".join(done.stderr.split())
    assert f"llama-server on PATH ({program}) died of SIGSEGV" in said
    assert "it answers with LLAMA_ARG_REPACK=0, which is slower" in said
    environment = Path(f"/proc/{site.find_pids()['inference-chat']}/environ").read_text().split("\0")
    assert "LLAMA_ARG_REPACK=0" in environment
    assert "known answer 'pong'" in done.stdout
    again = site.run("up")
    assert "nothing had to change" in again.stdout
    assert "demo's question" not in again.stderr.partition("warning")[0]
    assert "LLAMA_ARG_REPACK=0" in " ".join(site.run("doctor", code=None).stdout.split())


def test_up_leaves_a_dead_engine_and_takes_the_next(
    make_site: MakeSite, make_program: MakeProgram, monkeypatch: pytest.MonkeyPatch
) -> None:
    program = make_program(DIES)
    monkeypatch.setenv("PATH", str(program.parent), prepend=os.pathsep)
    site = make_site()
    done = site.run("up")
    assert "xllamacpp serves instead" in " ".join(done.stderr.split())
    assert "xllamacpp_server.py" in Path(f"/proc/{site.find_pids()['inference-chat']}/cmdline").read_text()


def test_the_trial_leaves_nothing_behind_when_it_is_killed(make_program: MakeProgram, tmp_path: Path) -> None:
    pid_file = tmp_path / "pid"
    program = make_program(f"#!/bin/sh\necho $$ > {pid_file}\nexec sleep 1000\n")
    script = REPOSITORY / ENGINE_FOLDER / "engine_trial.py"
    command = ["python3", str(script), "--models", str(MODELS), "--", str(program)]
    trial = subprocess.Popen(command, env=clean_environment())
    pid = wait_for(lambda: int(pid_file.read_text() or 0) if pid_file.exists() else None, "the engine's start")
    trial.kill()
    trial.wait()
    assert wait_for(lambda: not is_alive(pid), "the engine's end")
