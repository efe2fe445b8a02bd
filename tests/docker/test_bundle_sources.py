"""Images out of a registry and out of engines, and into engines with an empty store and no network, of both kinds."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
import uuid
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest
from docker import DockerClient

from stackctl.adapters.engine_export import read_image, stream_layers
from stackctl.adapters.engine_images import (
    check_identity,
    find_present_layers,
    find_repo_digest,
    has_containerd_store,
    load_images,
    remove_alias,
    tag_image,
)
from stackctl.adapters.registry import Registry
from stackctl.core.bundle.load_tar import build_load_tar
from stackctl.core.bundle.oci import OCI_INDEX, ImageContent, Platform
from stackctl.errors import BundleError, ImageUnavailable, RuntimeFailure
from tests.docker.airgap import STORES, AirgappedEngine, Store, airgapped_engine, explain_no_airgap
from tests.docker.registry import PASSWORD, USER, ServedRegistry, find_registry_program, open_registry
from tests.docker.required import give_up
from tests.docker.sites import IMAGES
from tests.image_documents import describe, describe_entry, encode, make_index

pytestmark = pytest.mark.docker

LOGIN = {"username": USER, "password": PASSWORD}
CONNECT = "import socket; socket.create_connection(('198.18.0.1', 80), 5)"


@dataclass(frozen=True, slots=True)
class Source:
    """An image in the registry: what is known of it, and its blobs."""

    content: ImageContent
    registry: Registry

    @property
    def alias(self) -> str:
        """The name it is loaded under."""
        facts = self.content.facts
        name = facts.reference.partition("/")[2].partition(":")[0].replace("/", "-")
        return f"stack-test.invalid/{name}:{facts.manifest.digest[7:19]}"

    def open_blob(self, digest: str) -> Iterator[bytes]:
        """From the registry."""
        blob = next(blob for blob in self.content.facts.blobs if blob.digest == digest)
        return self.registry.open_blob(self.content.facts.reference, blob)

    def load(
        self,
        client: DockerClient,
        skip: frozenset[str] = frozenset(),
        open_blob: Callable[[str], Iterable[bytes]] | None = None,
    ) -> list[str]:
        """Load it into an engine; what the engine said."""
        said: list[str] = []
        images = [(self.content.facts, self.alias)]
        load_images(
            client, build_load_tar(images, open_blob or self.open_blob, self.content.documents, skip), said.append
        )
        return said


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServedRegistry]:
    """A registry that anybody may read and write."""
    if not find_registry_program():
        give_up("no registry is installed (Debian: docker-registry)")
    with open_registry(tmp_path_factory.mktemp("registry")) as found:
        yield found


@pytest.fixture(scope="module")
def build(client: DockerClient, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[..., str]]:
    """Builds small images without a base or on another one; they are removed at the end."""
    made: list[str] = []

    def make(name: str, base: str = "scratch", **files: bytes) -> str:
        folder = tmp_path_factory.mktemp("build")
        lines = [f"FROM {base}", *(f"COPY {file} /{file}" for file in files), "LABEL test=stack-test"]
        (folder / "Dockerfile").write_text("\n".join(lines), encoding="utf-8")
        for file, data in files.items():
            (folder / file).write_bytes(data)
        client.images.build(path=str(folder), tag=name, rm=True)
        made.append(name)
        return name

    yield make
    for name in reversed(made):
        client.images.remove(name, force=True)


@pytest.fixture(scope="module")
def registry() -> Iterator[Registry]:
    """The client under test, without logins."""
    found = Registry({"DOCKER_CONFIG": "/nonexistent"})
    yield found
    found.close()


def push(client: DockerClient, name: str, login: Mapping[str, str] | None = None) -> None:
    """Push an image; Docker reports a failure in its stream."""
    lines = list(client.api.push(name, stream=True, decode=True, auth_config=dict(login) if login else None))
    assert not [line for line in lines if "error" in line], lines


@pytest.fixture(scope="module")
def base(client: DockerClient, served: ServedRegistry, registry: Registry, build: Callable[..., str]) -> Source:
    """An image of two layers in the registry."""
    name = build(f"{served.host}/team/base:1", one=os.urandom(3_000_000), two=b"two" * 1000)
    push(client, name)
    return Source(registry.resolve(name, find_platform(client)), registry)


@pytest.fixture(scope="module")
def child(
    client: DockerClient, served: ServedRegistry, registry: Registry, build: Callable[..., str], base: Source
) -> Source:
    """An image that has one layer more than ``base``."""
    name = build(f"{served.host}/team/child:1", base.content.facts.reference, three=os.urandom(50_000))
    push(client, name)
    return Source(registry.resolve(name, find_platform(client)), registry)


def find_platform(client: DockerClient) -> Platform:
    version = client.version()
    return Platform(version["Os"], version["Arch"])


@pytest.fixture(params=STORES)
def airgap(request: pytest.FixtureRequest) -> Iterator[AirgappedEngine]:
    """An engine with an empty store and no network; it starts in less than a second."""
    if problem := explain_no_airgap():
        give_up(f"no second engine can be started here: {problem}")
    store: Store = request.param
    with airgapped_engine(store) as engine:
        yield engine


@pytest.fixture
def site(airgap: AirgappedEngine) -> Iterator[DockerClient]:
    """A client of the engine without a network."""
    client = airgap.connect()
    yield client
    client.close()


# The fixture itself


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


# Out of a registry


def test_a_pushed_image_is_read_with_the_digest_that_docker_knows(client: DockerClient, base: Source) -> None:
    facts = base.content.facts
    assert find_repo_digest(client, facts.reference) == facts.manifest.digest
    assert client.images.get(facts.reference).attrs["RootFS"]["Layers"] == list(facts.diff_ids)
    for layer in facts.layers:
        data = b"".join(base.open_blob(layer.digest))
        assert (f"sha256:{hashlib.sha256(data).hexdigest()}", len(data)) == (layer.digest, layer.size)


def test_an_index_is_kept_byte_for_byte(client: DockerClient, served: ServedRegistry, base: Source) -> None:
    facts = base.content.facts
    manifest = base.content.documents[facts.manifest.digest]
    platform = str(find_platform(client))
    note = encode({"about": facts.manifest.digest})
    about = encode(
        {
            "schemaVersion": 2,
            "mediaType": "application/vnd.oci.image.manifest.v1+json",
            "config": describe(note, "application/vnd.oci.image.config.v1+json"),
            "layers": [],
        }
    )
    url = f"http://{served.host}/v2/team/base"
    with httpx.Client(trust_env=False) as http:
        place = http.post(f"{url}/blobs/uploads/").headers["Location"]
        digest = f"sha256:{hashlib.sha256(note).hexdigest()}"
        assert http.put(f"{place}&digest={digest}", content=note).status_code == 201
        kind = {"Content-Type": "application/vnd.oci.image.manifest.v1+json"}
        assert http.put(f"{url}/manifests/note", content=about, headers=kind).status_code == 201
        entries = (
            describe_entry(about, "unknown/unknown"),
            describe_entry(manifest, platform, facts.manifest.media_type),
        )
        index = make_index(*entries) + b"\n "
        assert http.put(f"{url}/manifests/multi", content=index, headers={"Content-Type": OCI_INDEX}).is_success
    content = base.registry.resolve(f"{served.host}/team/base:multi", find_platform(client))
    assert content.facts.index is not None
    assert content.documents[content.facts.index.digest] == index
    assert content.facts.manifest == facts.manifest


def test_a_registry_with_a_login(client: DockerClient, build: Callable[..., str], tmp_path: Path, base: Source) -> None:
    (tmp_path / "registry").mkdir()
    with open_registry(tmp_path / "registry", asks_for_login=True) as private:
        name = build(f"{private.host}/team/private:1", base.content.facts.reference)
        push(client, name, LOGIN)
        with pytest.raises(ImageUnavailable, match="asks for a login"):
            base.registry.resolve(name, find_platform(client))
        helper = tmp_path / "docker-credential-tests"
        helper.write_text(f"#!/bin/sh\nprintf '%s' '{json.dumps({'Username': USER, 'Secret': PASSWORD})}'\n")
        helper.chmod(0o755)
        (tmp_path / "config.json").write_text(json.dumps({"credHelpers": {private.host: "tests"}}))
        known = Registry({"DOCKER_CONFIG": str(tmp_path), "PATH": f"{tmp_path}:{os.environ['PATH']}"})
        facts = known.resolve(name, find_platform(client)).facts
        assert sum(map(len, known.open_blob(facts.reference, facts.layers[0]))) == facts.layers[0].size
        known.close()


def test_a_blob_that_is_damaged_in_the_registry_is_found(served: ServedRegistry, child: Source) -> None:
    blob = child.content.facts.layers[-1]
    file = served.find_blob(blob.digest)
    whole = file.read_bytes()
    file.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
    try:
        with pytest.raises(BundleError, match="its bytes have the digest") as caught:
            list(child.open_blob(blob.digest))
        assert blob.digest in caught.value.message
        assert child.content.facts.reference in caught.value.message
    finally:
        file.write_bytes(whole)


# Into an engine


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


def test_a_built_image_with_an_index_and_attestations_keeps_them(tmp_path: Path) -> None:
    if problem := explain_no_airgap():
        give_up(f"no second engine can be started here: {problem}")
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


# Layers that need not be sent


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


# What goes wrong


def test_a_layer_of_other_bytes_is_never_taken_for_a_loaded_image(site: DockerClient, base: Source) -> None:
    def open_blob(digest: str) -> list[bytes]:
        data = bytearray(b"".join(base.open_blob(digest)))
        data[len(data) // 2] ^= 255
        return [bytes(data)]

    # The containerd store reports it among its progress only.
    with suppress(RuntimeFailure):
        assert "Error unpacking image" in "".join(base.load(site, open_blob=open_blob))
    assert check_identity(site, base.content.facts, base.alias)
    base.load(site)
    assert check_identity(site, base.content.facts, base.alias) == []


def test_a_load_that_breaks_off_leaves_no_image_and_can_be_done_again(site: DockerClient, base: Source) -> None:
    def open_blob(digest: str) -> Iterator[bytes]:
        yield b"x" * 100
        raise BundleError(f"{digest} is damaged")

    with pytest.raises(BundleError, match="is damaged"):
        base.load(site, open_blob=open_blob)
    assert check_identity(site, base.content.facts, base.alias)
    base.load(site)
    assert check_identity(site, base.content.facts, base.alias) == []


def test_an_archive_that_is_none_is_refused(site: DockerClient) -> None:
    with pytest.raises(RuntimeFailure, match="The Docker engine"):
        load_images(site, iter([b"x" * 1_000_000] * 3), lambda _: None)


def test_another_image_under_the_name_is_found(site: DockerClient, base: Source, child: Source) -> None:
    base.load(site)
    child.load(site)
    tag_image(site, child.alias, base.alias)
    findings = check_identity(site, base.content.facts, base.alias)
    assert [finding.message.split()[1] for finding in findings] == ["id", "layers"]
    assert base.content.facts.config.digest in findings[0].message


def test_names_are_given_and_taken_away(site: DockerClient, base: Source) -> None:
    base.load(site)
    other = "stack-test.invalid/other:0123456789ab"
    tag_image(site, base.alias, other)
    assert remove_alias(site, base.alias)
    assert not remove_alias(site, base.alias)
    assert check_identity(site, base.content.facts, other) == []
    container = site.containers.create(other, ["x"])
    assert not remove_alias(site, other)
    container.remove()
    assert remove_alias(site, other)
    assert site.images.list(all=True) == []
