"""Images out of a registry: the bytes and digests that it has, or a refusal."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable
from pathlib import Path

import httpx
import pytest
from docker import DockerClient

from stackctl.adapters.docker.image_store import (
    find_repo_digest,
)
from stackctl.adapters.registry.registry import Registry
from stackctl.core.images.oci import OCI_INDEX
from stackctl.errors import BundleError, ImageUnavailable
from tests.docker.images.sources import LOGIN, Source, find_platform, push
from tests.docker.registry import PASSWORD, USER, ServedRegistry, open_registry
from tests.image_documents import describe, describe_entry, encode, make_index

pytestmark = pytest.mark.docker


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
