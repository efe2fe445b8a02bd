"""The supervisor's programs: paths inside the state folder, one line each, no secret."""

from __future__ import annotations

import shlex

from hypothesis import given
from hypothesis import strategies as st

from stackctl.core.supervisor_view import build_supervisor_view, find_secrets, find_socket
from stackctl.operations.site import load_site, render_site
from tests.fakes import World


def test_every_path_is_the_sites_own() -> None:
    world = World()
    services = render_site(world.effects, load_site(world.effects)).process_services
    view = build_supervisor_view(services, "/a b/.stack", ("python", "launch.py"))
    assert [program.name for program in view.programs] == [service.name for service in services]
    for program in view.programs:
        assert program.log_file == f"/a b/.stack/logs/{program.name}.log"
        assert shlex.split(program.command)[:4] == ["python", "launch.py", "/a b/.stack/secrets.json", program.name]
        assert "planted" not in program.command
    assert view.directory == "/a b/.stack/scratch"
    assert find_secrets("/a b/.stack") == "/a b/.stack/secrets.json"


@given(st.text(min_size=1), st.text(min_size=1))
def test_a_socket_fits_the_kernels_limit_and_belongs_to_one_site(one: str, other: str) -> None:
    assert len(find_socket(one * 50).encode()) < 108
    assert (find_socket(one) == find_socket(other)) is (one == other)
