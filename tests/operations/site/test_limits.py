"""A limit around stackctl: it bounds what runs as processes, and no container."""

from __future__ import annotations

from dataclasses import replace

import pytest

from stackctl.core.machine.host import Host
from stackctl.core.machine.limits import Limits
from stackctl.core.stack.names import COMPOSE_FILE, SUPERVISOR_FILE
from stackctl.operations.look.doctor import run_doctor
from stackctl.operations.models.recommend import recommend_models
from stackctl.operations.site.load import load_site
from stackctl.operations.site.render import run_render
from tests.fakes import DOCKER, SITE, World, write_env

GIB = 1 << 30
TIGHT = Limits(cpus=2, memory_bytes=8 * GIB, memory_left_bytes=5 * GIB)


@pytest.fixture
def bounded(world: World) -> World:
    world.host = Host(memory_total_bytes=64 * GIB, memory_available_bytes=60 * GIB, docker=DOCKER, limits=TIGHT)
    world.memory_bytes = 64 * GIB
    return world


def choose(world: World, runtime: str, **settings: object) -> World:
    world.files[SITE / ".env"] = write_env(STACK_RUNTIME=runtime, **settings)
    return world


def list_said(world: World, subject: str) -> list[str]:
    return [item.message for item in run_doctor(world.effects) if item.subject == subject]


def render_engines(world: World) -> dict[str, str]:
    files, _ = run_render(world.effects, None)
    return {path.relative_to(world.effects.paths.rendered_dir).as_posix(): world.files[path] for path, _ in files}


def test_engines_start_no_more_threads_than_may_run(bounded: World) -> None:
    texts = render_engines(choose(bounded, "process", CHAT_MODEL="/m/chat.gguf"))
    assert '"--threads", "2"' in texts[SUPERVISOR_FILE]
    assert '"--threads", "2"' not in texts[COMPOSE_FILE]
    texts = render_engines(choose(bounded, "process", CHAT_MODEL="/m/chat.gguf", INFERENCE_THREADS=6))
    assert '"--threads", "6"' in texts[SUPERVISOR_FILE]


def test_the_demo_model_is_computed_by_one_thread_anywhere(world: World) -> None:
    texts = render_engines(choose(world, "process"))
    assert '"--threads", "1"' in texts[SUPERVISOR_FILE]
    assert '"--threads", "1"' in texts[COMPOSE_FILE]


def test_doctor_says_what_is_left_and_judges_by_it(bounded: World) -> None:
    said = "of this machine, what runs here may use 2 processors (threads of an engine, unless INFERENCE_THREADS says"
    assert list_said(choose(bounded, "process"), "limits") == [
        f"{said} otherwise) and 8.0 GiB of memory, 5.0 GiB of them free"
    ]
    assert "of 4.6 GiB" in list_said(bounded, "memory")[0]
    assert list_said(choose(bounded, "compose"), "limits") == []
    assert "of 59.6 GiB" in list_said(bounded, "memory")[0]


def test_a_machine_that_is_fuller_than_the_limit_is_judged_by_what_it_has(bounded: World) -> None:
    bounded.host = replace(bounded.host, memory_available_bytes=3 * GIB)
    assert "of 2.6 GiB" in list_said(choose(bounded, "process"), "memory")[0]


def test_models_are_recommended_for_what_is_left(bounded: World) -> None:
    assert "4.6 GiB free" in recommend_models(choose(bounded, "process").effects).device
    assert "59.6 GiB free" in recommend_models(choose(bounded, "compose").effects).device


def test_the_prompt_cache_shares_what_the_limit_leaves(bounded: World) -> None:
    bounded.host = replace(bounded.host, limits=Limits(memory_bytes=64 << 20, memory_left_bytes=32 << 20))
    loaded = load_site(choose(bounded, "auto", INFERENCE_SLOTS=1).effects)
    assert loaded.compose.models[0].prompt_cache_mib > 0
    assert loaded.process.models[0].prompt_cache_mib == 0
