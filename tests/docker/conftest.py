"""What the Docker tests stand on: a real engine, the images that stand for a registry's, and a running stack.

Without an engine or an image these tests are skipped with the reason; with REQUIRE_DOCKER=1 they fail.
"""

from __future__ import annotations

import os
import shutil
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

import docker
import pytest
from docker import DockerClient
from docker.errors import DockerException, ImageNotFound

from tests.docker.airgap import STORES, AirgappedEngine, airgapped_engine, explain_no_airgap
from tests.docker.outside import Outside, explain_no_outside
from tests.docker.packed import Packed, pack, run_tool
from tests.docker.registry import ServedRegistry, open_registry
from tests.docker.required import give_up
from tests.docker.sites import CA_BUNDLE, IMAGES, MakeSite, Site
from tests.ports import claim_port
from tests.site_folders import make_site_folder

# The helper container with which testcontainers cleans up comes from a registry; fixtures clean up here.
os.environ.setdefault("TESTCONTAINERS_RYUK_DISABLED", "true")


@pytest.fixture(scope="session")
def client() -> Iterator[DockerClient]:
    """The engine."""
    try:
        found = docker.from_env(timeout=120)
        found.ping()
    except DockerException as error:
        give_up(f"no Docker engine answers: {error}")
    for name in IMAGES.values():
        try:
            found.images.get(name)
        except ImageNotFound:
            give_up(f"the image {name} is not here; make it with scripts/test-images.sh build")
    yield found
    found.close()


@pytest.fixture(scope="session")
def make_site(client: DockerClient, tmp_path_factory: pytest.TempPathFactory) -> Iterator[MakeSite]:
    """Makes site folders with the images that are here; what they started is removed at the end."""
    made: list[Site] = []

    def make(name: str = "", **settings: object) -> Site:
        name = name or f"stack-test-{uuid.uuid4().hex[:8]}"
        site = Site(tmp_path_factory.mktemp("site"), name, claim_port(), client)
        made.append(site)
        make_site_folder(site.folder)
        defaults = {**IMAGES, "BUILD_CA_BUNDLE": CA_BUNDLE, "STACK_RUNTIME": "compose", "STACK_GPU": "none"}
        # A model as small as the demo's is no work for two threads, which would wait for each other on a busy machine.
        defaults |= {"INFERENCE_THREADS": "1"}
        site.set(**{**defaults, "STACK_NAME": site.name, "API_GATEWAY_PORT": site.port, **settings})
        return site

    yield make
    for site in made:
        site.remove()


@pytest.fixture(scope="session")
def running(make_site: MakeSite) -> Site:
    """A started stack that tests share: whoever breaks it waits until it is healthy again."""
    site = make_site()
    site.run_well("up")
    return site


@pytest.fixture(scope="session")
def gateway_image(running: Site) -> str:
    """The gateway's image, built by the shared stack's ``up``; with GATEWAY_IMAGE another site builds none."""
    return str(running.list_containers()["api-gateway"].attrs["Config"]["Image"])


@pytest.fixture
def stopped(make_site: MakeSite, gateway_image: str) -> Iterator[Site]:
    """A site that was never started, with a chat model alone: each model is a container to start."""
    site = make_site(GATEWAY_IMAGE=gateway_image, EMBEDDING_MODEL="none")
    yield site
    site.remove()


@pytest.fixture(scope="session")
def outside() -> Iterator[Outside]:
    """A machine outside every Docker network."""
    if problem := explain_no_outside():
        give_up(f"no network of our own can be made: {problem}")
    with Outside.open() as found:
        yield found


@pytest.fixture(scope="session")
def networks_without_routes() -> None:
    """Gives up where no machine without a network can be had."""
    if problem := explain_no_airgap():
        give_up(f"no machine without a network can be had here: {problem}")


@pytest.fixture(scope="module", params=STORES)
def engine(request: pytest.FixtureRequest, networks_without_routes: None) -> Iterator[AirgappedEngine]:
    """An engine of each kind with an empty store and no network."""
    with airgapped_engine(request.param) as found:
        yield found


@pytest.fixture
def fake_bin(tmp_path: Path) -> Callable[[str, str], dict[str, str]]:
    """Puts a shell script first on PATH; returns the environment for ``Site.run``."""

    def install(name: str, script: str) -> dict[str, str]:
        folder = tmp_path / "bin"
        folder.mkdir(exist_ok=True)
        program = folder / name
        program.write_text(f"#!/bin/sh\n{script}\n")
        program.chmod(0o755)
        return {"PATH": f"{folder}{os.pathsep}{os.environ['PATH']}"}

    return install


@pytest.fixture(scope="session")
def registry(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServedRegistry]:
    """A registry that anybody may read and write."""
    with open_registry(tmp_path_factory.mktemp("registry")) as served:
        yield served


@pytest.fixture(scope="session")
def registry_image(
    client: DockerClient, registry: ServedRegistry, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[str]:
    """The inference engine's image, which the registry has, as OCI, and Docker does not."""
    if missing := [name for name in ("skopeo", "minisign") if not shutil.which(name)]:
        give_up(f"not installed: {', '.join(missing)}")
    name, archive = f"{registry.host}/team/llama-server:v1", tmp_path_factory.mktemp("image") / "saved.tar"
    run_tool("docker", "save", "--output", str(archive), IMAGES["INFERENCE_IMAGE"])
    source, target = f"docker-archive:{archive}", f"docker://{name}"
    run_tool("skopeo", "copy", "--quiet", "--format", "oci", "--dest-tls-verify=false", source, target)
    archive.unlink()
    yield name
    if client.images.list(name):  # a test may have run it by its digest alone
        client.images.remove(name, force=True)


@pytest.fixture(scope="session")
def bundle_key(make_site: MakeSite, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A packer's secret key; its public half lies beside it."""
    folder = tmp_path_factory.mktemp("keys")
    make_site().run_well("offline-keygen", "--out", str(folder))
    return folder / "bundle.key"


@pytest.fixture(scope="session")
def packed(
    make_site: MakeSite, registry_image: str, bundle_key: Path, tmp_path_factory: pytest.TempPathFactory
) -> Packed:
    """A stack of containers that ran here, as a bundle of several parts."""
    site = make_site(INFERENCE_IMAGE=registry_image, INFERENCE_SLOTS=4)
    site.run_well("up")
    try:
        return pack(site, bundle_key, tmp_path_factory.mktemp("disk"))
    finally:
        site.run("down")


@pytest.fixture(scope="session")
def delta(packed: Packed, bundle_key: Path) -> Packed:
    """What a changed setting makes of it."""
    packed.source.set(INFERENCE_SLOTS=2)
    return pack(packed.source, bundle_key, packed.folder.parent, "--base", str(packed.folder))
