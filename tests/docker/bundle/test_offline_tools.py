"""A bundle in the hands of programs that know nothing of it: coreutils, tar, minisign, skopeo and crane."""

from __future__ import annotations

import json
import shutil
import tarfile
from pathlib import Path

import httpx
import pytest

from tests.docker.packed import Packed, run_tool
from tests.docker.registry import ServedRegistry
from tests.docker.required import give_up

pytestmark = pytest.mark.docker

MANIFEST_TYPES = "application/vnd.oci.image.manifest.v1+json, application/vnd.docker.distribution.manifest.v2+json"


@pytest.fixture(scope="module")
def layout(packed: Packed, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """All parts, extracted into one folder."""
    folder = tmp_path_factory.mktemp("layout")
    for part in sorted(packed.folder.glob("part-*.tar")):
        run_tool("tar", "-xf", str(part), "-C", str(folder))
    return folder


def test_coreutils_and_minisign_can_check_it(packed: Packed) -> None:
    assert len(packed.manifest.parts) > 1
    assert f"{packed.manifest.parts[0].name}: OK" in run_tool("sha256sum", "-c", "SHA256SUMS", cwd=packed.folder)
    check = ("minisign", "-V", "-p", str(packed.public_key), "-m", "bundle.json", "-x", "bundle.json.sig")
    assert "verified" in run_tool(*check, cwd=packed.folder)


def test_python_reads_the_parts_as_tar_files(packed: Packed) -> None:
    seen = []
    for part in packed.manifest.parts:
        with tarfile.open(packed.folder / part.name, "r:") as archive:
            seen += [(member.name, member.size) for member in archive]
    wanted = [(item.path, item.size) for item in packed.manifest.layout]
    assert seen == wanted + [(f"blobs/sha256/{item.sha256}", item.size) for item in packed.manifest.blobs]


def test_skopeo_reads_the_images_with_their_registrys_digest(
    packed: Packed, layout: Path, registry_image: str, tmp_path: Path
) -> None:
    host, _, name = registry_image.partition("/")
    repository, _, tag = name.partition(":")
    url = f"http://{host}/v2/{repository}/manifests/{tag}"
    digest = httpx.head(url, headers={"Accept": MANIFEST_TYPES}, trust_env=False).headers["Docker-Content-Digest"]
    sources = {}
    for image in packed.manifest.images:
        seen = json.loads(run_tool("skopeo", "inspect", f"oci:{layout}:{image.alias}"))
        assert seen["Digest"] == image.manifest.digest
        assert seen["Layers"] == [layer.digest for layer in image.layers]
        sources[image.source] = seen["Digest"]
        run_tool("skopeo", "copy", "--quiet", f"oci:{layout}:{image.alias}", f"dir:{tmp_path / image.source}")
    assert set(sources) == {"engine", "registry"}
    assert sources["registry"] == digest


def test_crane_reads_the_layout(packed: Packed, layout: Path, registry: ServedRegistry) -> None:
    if not shutil.which("crane"):
        give_up("crane is not on PATH (Debian testing: crane)")
    name = f"{registry.host}/carried/stack:v1"
    run_tool("crane", "push", "--insecure", "--index", str(layout), name)
    pushed = json.loads(run_tool("crane", "manifest", "--insecure", name))
    assert {item["digest"] for item in pushed["manifests"]} == {
        (image.index or image.manifest).digest for image in packed.manifest.images
    }
