"""``stackctl offline-prove`` in containers: a healthy stack passes, and whatever tries to reach the world is named."""

from __future__ import annotations

import io
import json
import subprocess
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from docker import DockerClient

from stackctl.adapters.docker.image_events import watch_engine
from stackctl.core.bundle.format.signature import parse_public_key, verify
from tests.docker.registry import open_registry
from tests.docker.sites import IMAGES, MakeSite, Site, build_environment
from tests.waiting import wait_for

pytestmark = pytest.mark.docker

# An engine that asks the world before it serves: a name, an address of IPv4 and of IPv6, and a neighbour that is not
# there; and then one of its own stack, which is nobody's business.
CURIOUS_ENGINE = """#!/bin/sh
getent hosts models.example.invalid
curl --silent --max-time 5 http://192.0.2.1:443/
curl --silent --max-time 5 'http://[2001:db8::1]:8443/'
own="$(hostname -i)"
curl --silent --max-time 2 "http://${own%.*}.250:80/"
getent hosts inference-embed
exec /app/llama-server "$@"
"""
TRIED = {
    ("lookup", "models.example.invalid", "dns", 0),
    ("connection", "192.0.2.1", "tcp", 443),
    ("connection", "2001:db8::1", "tcp", 8443),
}


@pytest.fixture(scope="module")
def curious_image(client: DockerClient) -> Iterator[str]:
    """The engine's image with a program in front of the engine that asks the world."""
    name = "stack-test/curious-engine:test"
    dockerfile = f'FROM {IMAGES["INFERENCE_IMAGE"]}\nCOPY curious /curious\nENTRYPOINT ["/bin/sh", "/curious"]\n'
    context = io.BytesIO()
    with tarfile.open(fileobj=context, mode="w") as archive:
        for path, text in {"Dockerfile": dockerfile, "curious": CURIOUS_ENGINE}.items():
            member = tarfile.TarInfo(path)
            member.size = len(text)
            archive.addfile(member, io.BytesIO(text.encode()))
    context.seek(0)
    client.images.build(fileobj=context, custom_context=True, tag=name, rm=True, forcerm=True)
    yield name
    client.images.remove(name, force=True)


def prove(site: Site, code: int, *options: str) -> dict[str, Any]:
    """The receipt of a proof that ends with this exit code."""
    done = site.run("offline-prove", "--json", *options)
    assert done.code == code, done.text[-6000:]
    receipt = json.loads(done.stdout)
    assert isinstance(receipt, dict)
    return receipt


def list_remains(site: Site) -> list[str]:
    """What the engine still has of the site or of its rehearsal."""
    rehearsal = Site(site.folder, f"{site.name}-prove", site.port, site.client)
    return [*site.list_remains(), *rehearsal.list_remains(), *rehearsal.list_volumes()]


def test_a_healthy_stack_tries_nothing_and_gets_a_signed_receipt(stopped: Site, tmp_path: Path) -> None:
    """Here one for clients of the whole network; one for this machine alone is proved below, once it was killed."""
    (pool,) = stopped.client.networks.get("bridge").attrs["IPAM"]["Config"]
    stopped.set(BIND_ADDRESS=pool["Gateway"])  # an address of this machine that is not loopback
    receipt = prove(stopped, 0, "--out", str(tmp_path / "proof.json"))
    assert (receipt["verdict"], receipt["runtime"], receipt["reasons"]) == ("passed", "compose", [])
    assert (receipt["attempts"], receipt["pulled"], receipt["gaps"]) == ([], [], [])
    assert {row["status"] for row in receipt["health"]} == {"ok"}
    assert {item["name"]: item["id"] for item in receipt["images"]} == {
        name: stopped.client.images.get(name).id
        for name in (IMAGES["INFERENCE_IMAGE"], stopped.values["GATEWAY_IMAGE"])
    }
    assert list_remains(stopped) == []

    public = parse_public_key((stopped.folder / "offline" / "site.pub").read_text())
    verify(public, (tmp_path / "proof.json").read_bytes(), (tmp_path / "proof.json.minisig").read_text())
    assert "PASSED" in (tmp_path / "proof.txt").read_text()
    secrets = stopped.keys.values()
    assert not [name for name in tmp_path.iterdir() if any(key in name.read_text() for key in secrets)]


def test_what_an_engine_tries_is_named_though_the_stack_is_healthy(
    make_site: MakeSite, gateway_image: str, curious_image: str
) -> None:
    site = make_site(GATEWAY_IMAGE=gateway_image, INFERENCE_IMAGE=curious_image)
    receipt = prove(site, 6)
    assert receipt["verdict"] == "failed"
    assert {row["status"] for row in receipt["health"]} == {"ok"}
    for service in ("inference-chat", "inference-embed"):
        tried = [item for item in receipt["attempts"] if item["service"] == service]
        outside = {(a["kind"], a["target"], a["protocol"], a["port"]) for a in tried if a["protocol"] != "link"}
        assert outside == TRIED
        assert [a["target"].rpartition(".")[2] for a in tried if a["protocol"] == "link"] == ["250"]
    assert {item["service"] for item in receipt["attempts"]} == {"inference-chat", "inference-embed"}
    assert list_remains(site) == []


def test_beside_the_running_stack_it_refuses_and_disturbs_nothing(running: Site) -> None:
    before = running.list_ids()
    done = running.run("offline-prove")
    assert done.code == 5
    assert "stackctl down" in done.stderr
    assert running.list_ids() == before


def test_an_image_that_is_not_here_is_named_and_never_pulled(make_site: MakeSite) -> None:
    site = make_site(GATEWAY_IMAGE="stack-test/absent:1")
    done = site.run("offline-prove")
    assert done.code == 5
    assert "docker pull stack-test/absent:1" in done.stderr
    assert list_remains(site) == []


def test_a_killed_rehearsal_is_cleared_away_by_the_next(make_site: MakeSite, gateway_image: str) -> None:
    site = make_site(GATEWAY_IMAGE=gateway_image)
    with subprocess.Popen(site.build_argv("offline-prove"), env=build_environment()) as process:
        wait_for(lambda: len(list_remains(site)) > 6, "the rehearsal's containers are there")
        process.kill()
    assert list_remains(site)
    assert prove(site, 0)["verdict"] == "passed"
    assert list_remains(site) == []


def test_an_image_that_is_pulled_or_replaced_meanwhile_is_named(client: DockerClient, tmp_path: Path) -> None:
    with open_registry(tmp_path) as registry:
        base = client.images.get(IMAGES["BASE_IMAGE"])
        name, other = f"{registry.host}/planted:1", "stack-test/replaced:1"
        base.tag(name)
        base.tag(other)
        try:
            client.images.push(name)
            client.images.remove(name)
            with watch_engine([other]) as watch:
                assert watch.list_pulled() == ()
                client.images.pull(name)
                client.images.get(IMAGES["INFERENCE_IMAGE"]).tag(other)
                wait_for(lambda: set(watch.list_pulled()) == {name, other}, "both are told")
                assert watch.find_gap() == ""
        finally:
            client.images.remove(name, force=True)
            client.images.remove(other, force=True)
