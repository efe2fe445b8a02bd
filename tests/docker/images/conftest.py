"""A registry, images in it, and engines with an empty store and no network, of both kinds."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator

import pytest
from docker import DockerClient

from stackctl.adapters.registry.registry import Registry
from tests.docker.airgap import STORES, AirgappedEngine, airgapped_engine
from tests.docker.images.sources import Source, find_platform, push
from tests.docker.registry import ServedRegistry, open_registry


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServedRegistry]:
    """A registry that anybody may read and write."""
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


@pytest.fixture(params=STORES)
def airgap(request: pytest.FixtureRequest, networks_without_routes: None) -> Iterator[AirgappedEngine]:
    """An engine of each kind with an empty store and no network, for one test; it starts in less than a second."""
    with airgapped_engine(request.param) as engine:
        yield engine


@pytest.fixture
def site(airgap: AirgappedEngine) -> Iterator[DockerClient]:
    """A client of the engine without a network."""
    client = airgap.connect()
    yield client
    client.close()
