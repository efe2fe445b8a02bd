"""``images prune`` on real engines of the test's own, with either image store."""

from __future__ import annotations

import json
import tarfile
from io import BytesIO
from typing import Any

import pytest

from tests.docker.airgap import AirgappedEngine
from tests.docker.sites import MakeSite, Site

pytestmark = pytest.mark.docker

OLD, USED, FOREIGN = "stackctl.invalid/api-gateway:old", "stackctl.invalid/api-gateway:used", "house/mine:1"
LAYER_BYTES = 1_000_000


def test_what_was_built_here_and_nothing_needs_goes(make_site: MakeSite, engine: AirgappedEngine) -> None:
    site, client = make_site(), engine.connect()
    for name in (OLD, USED, FOREIGN):
        client.images.build(fileobj=_pack_context(name), custom_context=True, tag=name)
    client.containers.create(USED)
    planned = _prune(site, engine, "--dry-run")
    assert planned["removed"] == _prune(site, engine)["removed"] == []
    assert {item["image"]: item["kept"] for item in planned["images"]} == {OLD: "", USED: "a container uses it"}
    assert client.images.get(OLD)
    asked = site.run("images", "prune", environment={"DOCKER_HOST": engine.host})
    assert (asked.code, "Next: run it again with --yes" in asked.stdout) == (0, True)

    done = _prune(site, engine, "--yes")
    assert done["removed"] == [OLD]
    assert done["freed_bytes"] >= LAYER_BYTES
    assert {tag for image in client.images.list() for tag in image.tags} >= {USED, FOREIGN}
    assert OLD not in {tag for image in client.images.list() for tag in image.tags}
    client.close()


def _prune(site: Site, engine: AirgappedEngine, *options: str) -> Any:
    done = site.run("images", "prune", "--json", *options, environment={"DOCKER_HOST": engine.host})
    assert done.code == 0, done.text
    return json.loads(done.stdout)


def _pack_context(name: str) -> BytesIO:
    """A build of one layer that no other image has."""
    packed = BytesIO()
    dockerfile = b'FROM scratch\nCMD ["none"]\nCOPY layer /\n'
    with tarfile.open(fileobj=packed, mode="w") as archive:
        for path, data in {"Dockerfile": dockerfile, "layer": name.encode().ljust(LAYER_BYTES, b".")}.items():
            member = tarfile.TarInfo(path)
            member.size = len(data)
            archive.addfile(member, BytesIO(data))
    packed.seek(0)
    return packed
