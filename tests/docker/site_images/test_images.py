"""Images of a site, pinned at a real registry and run by a real engine."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from tests.docker.packed import pack, run_tool
from tests.docker.registry import ServedRegistry
from tests.docker.sites import MakeSite, Site

pytestmark = pytest.mark.docker


@pytest.fixture
def tagged(make_site: MakeSite, gateway_image: str, registry_image: str) -> Site:
    """A site whose engine is a registry's image, by its tag."""
    return make_site(GATEWAY_IMAGE=gateway_image, INFERENCE_IMAGE=registry_image, EMBEDDING_MODEL="none")


def test_a_pinned_image_runs_after_its_tag_is_moved_and_travels_in_a_bundle(
    tagged: Site, registry: ServedRegistry, registry_image: str, bundle_key: Path, tmp_path: Path
) -> None:
    result = json.loads(tagged.run_well("images", "pin", "--json").stdout)
    (image,) = result["images"]
    assert (image["image"], image["status"]) == (registry_image, "pinned")
    asked = run_tool("skopeo", "inspect", "--tls-verify=false", "--format", "{{.Digest}}", f"docker://{registry_image}")
    assert image["digest"] == asked.strip()
    assert f"{registry_image}@{image['digest']}" in (tagged.folder / "images.lock").read_text(encoding="utf-8")
    manifest = registry.folder / "docker/registry/v2/repositories/team/llama-server/_manifests/tags/v1/current/link"
    manifest.rename(manifest.with_name("hidden"))  # now the registry does not have the tag
    try:
        tagged.run_well("up")
        used = tagged.list_containers()["inference-chat"].attrs["Config"]["Image"]
        assert used == f"{registry_image}@{image['digest']}"
        assert "nothing had to change" in tagged.run_well("up").stdout
        failed = tagged.run("images", "pin")
        assert failed.code == 5
        assert f"does not have it: {registry_image}" in failed.stderr
        assert "images.lock is as it was" in failed.stderr
        packed = pack(tagged, bundle_key, tmp_path)
    finally:
        manifest.with_name("hidden").rename(manifest)
        tagged.run("down")
        tagged.client.images.remove(f"{registry_image}@{image['digest']}")
    carried = {image.uses[0]: image for image in packed.manifest.images}["inference.none"]
    assert (carried.source, carried.reference) == ("registry", f"{registry_image}@{image['digest']}")
    assert re.fullmatch(rf"{tagged.name}\.invalid/inference-none:[0-9a-f]+", carried.alias)
