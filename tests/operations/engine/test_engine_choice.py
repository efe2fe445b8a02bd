"""Which engine serves as processes: the first that answers on this machine, and what is said of it."""

from __future__ import annotations

import pytest

from stackctl.core.bundle.format.manifest import PackedEngine
from stackctl.core.bundle.load.release import Release
from stackctl.core.engine.choice import EngineChoice
from stackctl.core.engine.engines import LLAMA_CPP, LLAMA_CPP_PYTHON, XLLAMACPP, Engine
from stackctl.core.settings.settings import Settings
from stackctl.errors import Finding, RuntimeFailure, Severity
from stackctl.operations.engine.engines import choose_compose_engine, choose_process_engine
from stackctl.operations.look.doctor import run_doctor
from stackctl.operations.run.up import run_up
from tests.bundle_builder import assemble_bundle
from tests.fakes import World, raised_by, write_env

CRASH = "died of SIGSEGV in ggml_backend_amx_mul_mat"


@pytest.fixture
def fresh(world: World) -> World:
    """A machine on which no engine was asked yet, with a llama-server on PATH."""
    world.files[world.site / ".env"] = write_env(STACK_RUNTIME="process")
    world.programs["llama-server"] = "/usr/bin/llama-server"
    world.engines.is_known = False
    return world


def choose(world: World, setting: str = "auto", release: Release | None = None) -> EngineChoice:
    return choose_process_engine(world.effects, Settings(inference_engine=setting), release)


def make_release(engine: PackedEngine | None = None) -> Release:
    manifest = assemble_bundle(files={"engine/llama-server": b"program"}, engine=engine)[0]
    return Release(manifest, "/site/offline/releases/1", "/site/offline", "", "")


def serve(world: World) -> tuple[list[str], dict[str, str]]:
    """Command and environment of the engine that ``up`` started."""
    plan = world.runtimes["process"].plan
    assert plan is not None
    return list(plan.services[0].arguments), dict(plan.services[0].environment)


def list_engine_findings(findings: tuple[Finding, ...]) -> list[tuple[Severity, str]]:
    return [(item.severity, item.message) for item in findings if item.subject in ("INFERENCE_ENGINE", "engine")]


@pytest.mark.parametrize(
    ("setting", "program", "cpu_features", "expected"),
    [
        ("auto", "/usr/bin/llama-server", frozenset[str](), LLAMA_CPP),
        ("auto", "", frozenset({"avx2", "fma", "f16c", "bmi2"}), XLLAMACPP),
        ("auto", "", None, XLLAMACPP),
        ("auto", "", frozenset({"sse2", "avx"}), LLAMA_CPP_PYTHON),
        ("llama.cpp", "", None, LLAMA_CPP),
        ("llama-cpp-python", "/usr/bin/llama-server", None, LLAMA_CPP_PYTHON),
    ],
)
def test_the_engine_that_a_setting_means(
    world: World, setting: str, program: str, cpu_features: frozenset[str] | None, expected: Engine
) -> None:
    world.programs |= {"llama-server": program} if program else {}
    world.cpu_features = cpu_features
    assert choose(world, setting).form.engine is expected


def test_containers_have_the_official_engine_unless_another_is_named() -> None:
    assert choose_compose_engine(Settings()) is LLAMA_CPP
    assert choose_compose_engine(Settings(inference_engine="xllamacpp")) is XLLAMACPP


def test_an_engine_that_answers_is_asked_once_and_serves(fresh: World) -> None:
    result = run_up(fresh.effects)
    run_up(fresh.effects)
    assert fresh.engines.asked == ["/usr/bin/llama-server"]
    assert serve(fresh)[0][0] == "/usr/bin/llama-server"
    assert list_engine_findings(result.warnings) == []


def test_an_engine_that_dies_serves_with_the_remedy_and_that_is_said(fresh: World) -> None:
    fresh.engines.failures["llama-server"] = CRASH
    result = run_up(fresh.effects)
    command, environment = serve(fresh)
    assert command[0] == "/usr/bin/llama-server"
    assert environment["LLAMA_ARG_REPACK"] == "0"
    said = (
        f"llama-server on PATH (/usr/bin/llama-server) {CRASH} when it was asked the demo's question; "
        "it answers with LLAMA_ARG_REPACK=0, which is slower"
    )
    assert list_engine_findings(result.warnings) == [(Severity.WARNING, said)]
    assert (Severity.WARNING, said) in list_engine_findings(run_doctor(fresh.effects))


def test_an_engine_that_no_remedy_helps_is_replaced_by_the_next_one_and_that_is_said(fresh: World) -> None:
    fresh.engines.failures["llama-server"] = CRASH
    fresh.engines.incurable.add("llama-server")
    result = run_up(fresh.effects)
    command, environment = serve(fresh)
    assert command[1].endswith("xllamacpp_server.py")
    assert "LLAMA_ARG_REPACK" not in environment
    said = (
        f"llama-server on PATH (/usr/bin/llama-server) {CRASH} when it was asked the demo's question; "
        "xllamacpp serves instead"
    )
    assert list_engine_findings(result.warnings) == [(Severity.WARNING, said)]
    assert list_engine_findings(run_doctor(fresh.effects)) == [
        (Severity.WARNING, said),
        (Severity.OK, "xllamacpp: answered the demo's question here"),
    ]


def test_a_build_for_this_cpu_is_followed_by_one_for_every_cpu(fresh: World) -> None:
    del fresh.programs["llama-server"]
    fresh.files[fresh.site / ".env"] = write_env(STACK_RUNTIME="process", INFERENCE_ENGINE="llama.cpp")
    fresh.engines.failures["native"] = "died of SIGILL"
    fresh.engines.incurable.add("native")
    run_up(fresh.effects)
    assert serve(fresh)[0][0] == "/cache/llama.cpp/portable/llama-server"


def test_nothing_is_started_when_no_engine_answers(fresh: World) -> None:
    fresh.files[fresh.site / ".env"] = write_env(STACK_RUNTIME="process", INFERENCE_ENGINE="xllamacpp")
    fresh.engines.failures["xllamacpp"] = "died of SIGILL"
    fresh.engines.incurable.add("xllamacpp")
    error = raised_by(lambda: run_up(fresh.effects))
    assert isinstance(error, RuntimeFailure)
    assert "No engine answers on this machine." in str(error)
    assert "xllamacpp died of SIGILL" in str(error)
    assert fresh.running == []
    assert list_engine_findings(run_doctor(fresh.effects)) == [(Severity.ERROR, "xllamacpp died of SIGILL")]


def test_what_may_not_last_is_not_kept(fresh: World) -> None:
    """A library that is missing today may be there tomorrow; a crash will come again."""
    fresh.engines.failures["llama-server"] = "ended with code 127"
    fresh.engines.passing.add("llama-server")
    run_up(fresh.effects)
    assert serve(fresh)[0][1].endswith("xllamacpp_server.py")
    assert ("/usr/bin/llama-server",) not in fresh.engines.kept
    assert fresh.engines.asked.count("/usr/bin/llama-server") == 1


def test_doctor_says_what_was_not_asked_yet(fresh: World) -> None:
    expected = "llama-server on PATH (/usr/bin/llama-server); 'up' asks it the demo's question first"
    assert list_engine_findings(run_doctor(fresh.effects)) == [(Severity.OK, expected)]
    assert fresh.engines.asked == []


def test_where_nothing_can_be_built_nothing_is_offered_that_would_be(world: World) -> None:
    world.engines.failures["xllamacpp"] = CRASH
    world.engines.known = {}
    forms = choose(world, release=make_release())
    assert forms.form.engine is XLLAMACPP
    world.cpu_features = frozenset()
    assert choose(world, "llama-cpp-python", make_release()).form.engine is LLAMA_CPP_PYTHON


def test_the_cpu_is_asked_where_the_gpu_is_not_wanted(fresh: World) -> None:
    fresh.files[fresh.site / ".env"] = write_env(STACK_RUNTIME="process", STACK_GPU="none")
    run_up(fresh.effects)
    assert fresh.engines.asked == ["/usr/bin/llama-server --n-gpu-layers 0"]


def test_the_engine_of_the_release_goes_before_the_one_on_path(fresh: World) -> None:
    brought = PackedEngine(
        path="engine/llama-server", title="llama-server 6924 for NVIDIA GPUs", gpu="nvidia", glibc="2.34", driver="525"
    )
    choice = choose(fresh, release=make_release(brought))
    assert choice.form.command == ("/site/offline/releases/1/files/engine/llama-server",)
    assert choice.environment == {"LD_LIBRARY_PATH": "/site/offline/releases/1/files/engine"}
    assert "the release's llama-server 6924 for NVIDIA GPUs" in choice.describe().message
    assert choose(fresh, "xllamacpp", make_release(brought)).form.engine is XLLAMACPP
    fresh.engines.failures["releases/1/files/engine"] = CRASH
    assert choose(fresh, release=make_release(None)).form.command == ("/usr/bin/llama-server",)
