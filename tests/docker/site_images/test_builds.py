"""Images are built where a company's proxy signs TLS and its index wants a password, and keep neither."""

from __future__ import annotations

import json
import os
import secrets
import shlex
import shutil
import subprocess
import uuid
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from docker import DockerClient

from stackctl.core.engine.engines import LLAMA_CPP_PYTHON
from stackctl.core.images.build import ImageBuild, list_builds
from stackctl.core.settings.settings import Settings
from stackctl.core.stack.image_choice import choose_images
from tests.docker.mirror import BUILD_LOCK, NEEDED, PACKAGE, SOURCE_LOCK, Mirror, open_mirror
from tests.docker.sites import IMAGES, REPOSITORY, Site

pytestmark = pytest.mark.docker
# Where each service's Dockerfile installs its lock.
PYTHONS = {"api-gateway": "/opt/venv/bin/python", "inference": "/opt/engine/bin/python"}


@pytest.fixture(scope="module")
def mirror(client: DockerClient, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mirror]:
    folder = tmp_path_factory.mktemp("mirror")
    with open_mirror(client, IMAGES["BASE_IMAGE"], folder, secrets.token_hex(12)) as found:
        yield found


@pytest.fixture
def build(client: DockerClient, mirror: Mirror, tmp_path: Path, service: str) -> Iterator[ImageBuild]:
    """One service's own build, but for its lock: a small one that only the mirror can satisfy."""
    folder = tmp_path / "services" / service
    shutil.copytree(REPOSITORY / "services" / service, folder, ignore=shutil.ignore_patterns("__pycache__"))
    sources = SOURCE_LOCK if service == "inference" else ""  # the gateway takes wheels only
    (folder / "requirements.lock").write_text(mirror.lock + sources, encoding="utf-8")
    (folder / "requirements-build.lock").write_text(BUILD_LOCK, encoding="utf-8")
    settings = Settings(
        stack_name=f"stack-test-{uuid.uuid4().hex[:8]}",
        base_image=IMAGES["BASE_IMAGE"],
        build_base_image=IMAGES["BUILD_BASE_IMAGE"],
        build_ca_bundle=str(mirror.ca_bundle),
        pip_index_url=mirror.url,
    )
    images = choose_images(settings, LLAMA_CPP_PYTHON, "1", "1")
    builds = list_builds(settings, LLAMA_CPP_PYTHON, images, str(tmp_path), "none")
    (found,) = [item for item in builds if item.folder == str(folder)]
    yield found
    if client.images.list(name=found.tag):
        client.images.remove(found.tag, force=True)


def run_build(build: ImageBuild) -> subprocess.CompletedProcess[str]:
    """Run it as the compose runtime does: values travel in the environment."""
    environment = {**os.environ, **build.environment}
    return subprocess.run(build.build_argv(), env=environment, capture_output=True, text=True, check=False)


@pytest.mark.parametrize("service", PYTHONS)
def test_a_build_uses_the_company_s_index_and_authority_and_keeps_neither(
    client: DockerClient, mirror: Mirror, build: ImageBuild, service: str
) -> None:
    done = run_build(build)
    assert done.returncode == 0, done.stderr[-4000:]
    image = client.images.get(build.tag)
    # The package is there, so index, password and certificate were all used; and what it needs is what the lock pins,
    # though the index has a newer release since.
    script = f"import {PACKAGE}, importlib.metadata as m; print(m.version('{NEEDED}'))"
    said = client.containers.run(image, ["-c", script], entrypoint=PYTHONS[service], remove=True)
    assert said == b"1.0\n"
    if service == "inference":
        script = "import delta; print(delta.BUILT_WITH)"
        said = client.containers.run(image, ["-c", script], entrypoint=PYTHONS[service], remove=True)
        assert said == b"1.0\n"
    assert image.attrs["Config"]["User"] == "10001:10001"

    told = json.dumps([image.attrs, image.history()])
    certificate = mirror.ca_bundle.read_text(encoding="utf-8").splitlines()[3]
    for where, text in (("history", told), ("progress", done.stdout + done.stderr), ("argv", shlex.join(done.args))):
        assert mirror.password not in text, where
        assert certificate not in text, where
    search = ["-rlF", "-e", mirror.password, "-e", certificate, "/", "--exclude-dir=proc", "--exclude-dir=sys"]
    found = f"grep {shlex.join(search)} || true"
    assert client.containers.run(image, ["-c", found], entrypoint="sh", user="0", remove=True) == b""


@pytest.mark.parametrize("service", ["api-gateway"])
def test_a_build_without_the_authority_fails_and_shows_no_password(mirror: Mirror, build: ImageBuild) -> None:
    # The engine's cache knows nothing of secrets; another argument makes it run the step again.
    arguments = {**build.arguments, "PIP_INDEX_URL": f"{mirror.url}/"}
    done = run_build(replace(build, ca_bundle="", arguments=arguments))
    assert done.returncode != 0
    assert "certificate" in done.stderr.lower()
    assert mirror.password not in done.stdout + done.stderr


def test_a_dry_run_shows_the_build_without_the_index_s_password(stopped: Site) -> None:
    # Another base image, because the gateway's image on this one is there already, for every stack of this machine.
    index = "https://reader:word-4711@mirror.example/simple"
    stopped.set(GATEWAY_IMAGE="", BASE_IMAGE="stack-test/absent:1", PIP_INDEX_URL=index)
    done = stopped.run_well("up", "--dry-run")
    assert "docker build" in done.stdout
    assert "--build-arg PIP_INDEX_URL" in done.stdout
    assert "word-4711" not in done.text
    assert stopped.list_remains() == []


def test_the_built_gateway_has_no_tools_to_install_more(running: Site, gateway_image: str) -> None:
    """Its environment is what the lock says, and nothing in it can be changed by whoever gets in."""
    script = "import importlib.util as u; print(u.find_spec('pip'), u.find_spec('litellm') is not None)"
    said = running.client.containers.run(
        gateway_image, ["-c", script], entrypoint=PYTHONS["api-gateway"], remove=True, network="none"
    )
    assert said.decode().split() == ["None", "True"]
