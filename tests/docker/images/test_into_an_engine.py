"""Images out of engines, and into engines with an empty store and no network, of both kinds."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from docker import DockerClient

from stackctl.adapters.docker.image_export import read_image, stream_layers
from stackctl.adapters.docker.image_store import (
    check_identity,
    find_present_layers,
    find_repo_digest,
    has_containerd_store,
    load_images,
    remove_alias,
)
from stackctl.adapters.registry.registry import Registry
from stackctl.core.images.load_tar import build_load_tar
from stackctl.errors import BundleError, ImageUnavailable, RuntimeFailure
from tests.docker.airgap import AirgappedEngine, airgapped_engine
from tests.docker.images.sources import CONNECT, Source, find_platform, push
from tests.docker.registry import ServedRegistry
from tests.docker.sites import IMAGES

pytestmark = pytest.mark.docker


def test_the_engine_without_a_network_has_none_and_the_store_asked_for(
    airgap: AirgappedEngine, site: DockerClient, client: DockerClient
) -> None:
    done = subprocess.run(
        airgap.build_entry(sys.executable, "-c", CONNECT), capture_output=True, text=True, check=False
    )
    assert "Network is unreachable" in done.stderr
    assert has_containerd_store(site) == (airgap.store == "containerd")
    assert site.images.list(all=True) == []
    assert client.ping()


def test_an_image_of_a_registry_runs_where_no_network_is(
    client: DockerClient, site: DockerClient, served: ServedRegistry, registry: Registry
) -> None:
    name = f"{served.host}/team/python:3.11"
    client.images.get(IMAGES["BASE_IMAGE"]).tag(name)
    try:
        push(client, name)
        source = Source(registry.resolve(name, find_platform(client)), registry)
    finally:
        client.images.remove(name)
    assert source.load(site) == [f"Loaded image: {source.alias}"]
    assert check_identity(site, source.content.facts, source.alias) == []
    assert site.containers.list(all=True) == []
    command = ["python3", "-c", "print('it runs')"]
    assert site.containers.run(source.alias, command, remove=True, network_mode="none") == b"it runs\n"


def test_an_image_that_was_built_here_reaches_the_other_engine(
    client: DockerClient, site: DockerClient, base: Source
) -> None:
    name = base.content.facts.reference
    content = read_image(client, name)
    assert content.facts.diff_ids == base.content.facts.diff_ids
    assert content.facts.config.digest == base.content.facts.config.digest

    def open_layer(digest: str) -> Iterator[bytes]:
        for _, _, chunks in stream_layers(client, name, frozenset({digest})):
            yield from chunks

    alias = "stack-test.invalid/built:0123456789ab"
    load_images(site, build_load_tar([(content.facts, alias)], open_layer, content.documents), lambda _: None)
    assert check_identity(site, content.facts, alias) == []


def test_what_is_exported_has_the_promised_digests(site: DockerClient, base: Source) -> None:
    base.load(site)
    content = read_image(site, base.alias)
    wanted = frozenset(layer.digest for layer in content.facts.layers)
    sizes = {}
    for digest, size, chunks in stream_layers(site, base.alias, wanted):
        data = b"".join(chunks)
        assert f"sha256:{hashlib.sha256(data).hexdigest()}" == digest
        assert len(data) == size
        sizes[digest] = size
    assert sizes == {layer.digest: layer.size for layer in content.facts.layers}
    if has_containerd_store(site):
        assert content.facts.manifest == base.content.facts.manifest
        assert content.documents == base.content.documents


def test_a_layer_that_is_not_read_to_its_end_is_passed_over(client: DockerClient, base: Source) -> None:
    name = base.content.facts.reference
    wanted = frozenset(read_image(client, name).facts.diff_ids)
    seen = [(digest, len(next(chunks))) for digest, _, chunks in stream_layers(client, name, wanted)]
    assert {digest for digest, _ in seen} == wanted


def test_a_layer_that_the_engine_does_not_have_is_named(client: DockerClient, base: Source) -> None:
    absent = f"sha256:{'0' * 64}"
    with pytest.raises(BundleError, match=f"missing: {absent}"):
        list(stream_layers(client, base.content.facts.reference, frozenset({absent})))


@pytest.mark.parametrize(
    "call", [read_image, find_repo_digest, lambda c, name: list(stream_layers(c, name, frozenset()))]
)
def test_an_image_that_the_engine_does_not_have_is_named(
    client: DockerClient, call: Callable[[DockerClient, str], object]
) -> None:
    with pytest.raises(ImageUnavailable, match=r"does not have the image stack-test\.invalid/none:1"):
        call(client, "stack-test.invalid/none:1")


@pytest.mark.usefixtures("networks_without_routes")
def test_a_built_image_with_an_index_and_attestations_keeps_them(tmp_path: Path) -> None:
    (tmp_path / "Dockerfile").write_text("FROM scratch\nCOPY one /one\n", encoding="utf-8")
    (tmp_path / "one").write_bytes(b"one")
    name = f"stack-test/{uuid.uuid4().hex[:8]}:1"
    with airgapped_engine("containerd") as engine:
        environment = {**os.environ, "DOCKER_HOST": engine.host}
        build = ["docker", "buildx", "build", "--load", "--provenance", "mode=min", "--tag", name, str(tmp_path)]
        subprocess.run(build, env=environment, check=True, capture_output=True)
        client = engine.connect()
        content = read_image(client, name)
        assert content.facts.index is not None
        assert client.images.get(name).id == content.facts.index.digest
        assert b"attestation-manifest" in content.documents[content.facts.index.digest]
        wanted = frozenset(layer.digest for layer in content.facts.layers)
        for digest, _, chunks in stream_layers(client, name, wanted):
            assert f"sha256:{hashlib.sha256(b''.join(chunks)).hexdigest()}" == digest
        client.close()


def test_layers_that_are_there_need_not_be_sent(site: DockerClient, base: Source, child: Source) -> None:
    base.load(site)
    asked: list[str] = []

    def open_blob(digest: str) -> Iterator[bytes]:
        asked.append(digest)
        return child.open_blob(digest)

    shared = frozenset(layer.digest for layer in child.content.facts.layers[:2])
    child.load(site, shared, open_blob)
    assert asked == [child.content.facts.layers[2].digest]
    assert check_identity(site, child.content.facts, child.alias) == []
    # The new image stands on its own: what it shares stays when the other one goes.
    assert remove_alias(site, base.alias)
    assert check_identity(site, child.content.facts, child.alias) == []
    assert [size for _, size, _ in stream_layers(site, child.alias, frozenset())] == []
    assert read_image(site, child.alias).facts.diff_ids == child.content.facts.diff_ids


def test_what_is_there_is_known(site: DockerClient, base: Source, child: Source) -> None:
    facts, more = base.content.facts, child.content.facts
    assert find_present_layers(site, [facts, more]) == frozenset()
    base.load(site)
    every = frozenset(layer.digest for layer in facts.layers)
    assert find_present_layers(site, [facts]) == every
    # The containerd store does not say which blobs it has, only which images.
    assert find_present_layers(site, [more]) == (frozenset() if has_containerd_store(site) else every)
    base.load(site, find_present_layers(site, [facts]))
    assert check_identity(site, facts, base.alias) == []


def test_a_missing_layer_is_never_taken_for_a_loaded_image(site: DockerClient, child: Source) -> None:
    facts = child.content.facts
    skip = frozenset(layer.digest for layer in facts.layers[:2])
    if has_containerd_store(site):
        said = child.load(site, skip)
        assert "Error unpacking image" in "".join(said)
    else:
        with pytest.raises(RuntimeFailure, match="did not load the images"):
            child.load(site, skip)
    assert check_identity(site, facts, child.alias)
