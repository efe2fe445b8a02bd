"""Keys stay out of everything that is written, logged, listed or kept in an image.

A container's environment holds them, and so does whoever may use the engine; that is accepted, and the only place.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator

import pytest

from tests.docker.sites import Site

pytestmark = pytest.mark.docker


@pytest.fixture(scope="module")
def used(running: Site) -> Site:
    """The shared stack after every command that looks at it or through it."""
    for arguments in (("up",), ("health",), ("status",), ("chat", "ping"), ("models",), ("config",), ("logs",)):
        done = running.run_well(*arguments)
        assert_no_key(running, f"stackctl {arguments[0]}", done.text)
    return running


def assert_no_key(site: Site, where: str, text: str) -> None:
    assert len(site.keys) == 3
    for name, value in site.keys.items():
        assert len(value) > 20
        assert value not in text, f"{name} stands in {where}"


def test_no_key_is_in_what_the_engine_tells_of_containers(used: Site) -> None:
    for name, container in used.list_containers().items():
        environment = container.attrs["Config"].pop("Env")
        if name == "ingress":  # it carries bytes and needs no key, so it is given none
            assert_no_key(used, "the environment of ingress", json.dumps(environment))
        else:
            assert any(used.keys["INFERENCE_API_KEY"] in item for item in environment), "the search finds nothing"
        assert_no_key(used, f"docker inspect {name}", json.dumps(container.attrs))


def test_no_key_is_in_an_image(used: Site) -> None:
    for container in used.list_containers().values():
        image = used.client.images.get(container.attrs["Image"])
        assert_no_key(used, f"image {image.tags}", json.dumps([image.attrs, image.history()]))


def test_no_key_is_in_a_container_s_log(used: Site) -> None:
    for name, container in used.list_containers().items():
        text = container.logs().decode(errors="replace")
        assert text
        assert_no_key(used, f"the log of {name}", text)


def test_no_key_is_in_a_file_but_the_environment_file(used: Site) -> None:
    files = [path for path in used.folder.rglob("*") if path.is_file() and path.name != ".env"]
    assert {"compose.p1.yml", "config.p1.yaml", "state.json"} <= {path.name for path in files}
    for path in files:
        assert_no_key(used, str(path), path.read_bytes().decode(errors="replace"))


def test_no_key_is_in_an_argument_list(used: Site) -> None:
    for name, container in used.list_containers().items():
        assert_no_key(used, f"the processes of {name}", json.dumps(container.top(ps_args="-eo pid,args")))


def test_no_key_is_in_the_command_of_a_probe(used: Site) -> None:
    """Engines are asked from inside their containers; the engine's events tell with which commands."""
    since = int(time.time()) - 1
    used.run_well("health")
    commands = list(list_probes(used, since, int(time.time()) + 1))
    assert any("curl" in command and "/props" in command for command in commands)
    assert_no_key(used, "the command of a probe", "\n".join(commands))


def list_probes(site: Site, since: int, until: int) -> Iterator[str]:
    """Commands that were started in the stack's containers."""
    wanted = {**site.filters, "type": "container"}
    for event in site.client.events(since=since, until=until, filters=wanted, decode=True):
        if event["Action"].startswith("exec_create"):
            yield event["Action"]
