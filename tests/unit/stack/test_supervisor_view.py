"""The supervisor's programs: paths inside the state folder, one line each, no secret."""

from __future__ import annotations

import shlex

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stackctl.core.settings.settings import Settings
from stackctl.core.stack.names import find_secrets, find_socket
from stackctl.core.stack.supervisor_view import SupervisorView, build_supervisor_view
from stackctl.operations.site.load import load_site
from stackctl.operations.site.render import render_site
from tests.fakes import World, write_env


def test_every_path_is_the_sites_own() -> None:
    world = World()
    services = render_site(world.effects, load_site(world.effects)).process_services
    view = build_supervisor_view(
        Settings(log_max_size="100k", log_max_files=3), services, "/a b/.stack", ("python", "launch.py")
    )
    assert [program.name for program in view.programs] == [service.name for service in services]
    for program in view.programs:
        assert program.log_file == f"/a b/.stack/logs/{program.name}.log"
        assert shlex.split(program.command)[:4] == ["python", "launch.py", "/a b/.stack/secrets.json", program.name]
        assert "planted" not in program.command
    assert (view.log_max_bytes, view.log_backups) == (100 * 1024, 2)
    assert view.directory == "/a b/.stack/scratch"
    assert find_secrets("/a b/.stack") == "/a b/.stack/secrets.json"


@pytest.mark.parametrize(
    ("settings", "is_thinned"),
    [
        ({}, True),
        ({"STACK_GPU": "none"}, False),
        # Whoever looks for a fault wants every line.
        ({"INFERENCE_ENVIRONMENT": "LLAMA_ARG_LOG_VERBOSITY=5"}, False),
    ],
)
def test_only_a_log_that_is_made_talkative_for_the_gpu_is_thinned(settings: dict[str, str], is_thinned: bool) -> None:
    world = World(write_env(INFERENCE_ENGINE="llama.cpp", **settings))
    programs = {item.name: item.command for item in load_view(world).programs}
    assert ('"thin_log": true' in programs["inference-chat"]) is is_thinned
    assert "thin_log" not in programs["api-gateway"]


def load_view(world: World) -> SupervisorView:
    loaded = load_site(world.effects)
    services = render_site(world.effects, loaded).process_services
    return build_supervisor_view(loaded.settings, services, "/s", ("launch.py",))


@given(st.text(min_size=1), st.text(min_size=1))
def test_a_socket_fits_the_kernels_limit_and_belongs_to_one_site(one: str, other: str) -> None:
    assert len(find_socket(one * 50).encode()) < 108
    assert (find_socket(one) == find_socket(other)) is (one == other)
