"""Images from a registry: its own bytes, over cut connections."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from stackctl.adapters.registry import registry_connection
from stackctl.adapters.registry.registry import Registry
from stackctl.adapters.registry.registry_connection import ATTEMPTS, CHUNK_BYTES
from stackctl.adapters.registry.registry_digests import find_digests
from stackctl.core.images.oci import OCI_LAYER, ImageBlob, Platform
from stackctl.errors import BundleError, ImageUnavailable
from tests.image_documents import digest
from tests.integration.registry.served import AMD64, LAYER, Serve

BLOB = ImageBlob(digest(LAYER), len(LAYER), OCI_LAYER)


def test_documents_are_the_registrys_own_bytes(serve: Serve, registry: Registry) -> None:
    served = serve()
    content = registry.resolve(served.reference, AMD64)
    facts = content.facts
    assert (facts.reference, facts.source) == (f"{served.reference}:latest", "registry")
    assert facts.index is not None
    assert [content.documents[blob.digest] for blob in (facts.index, facts.manifest, facts.config)] == [
        served.index,
        served.manifest,
        served.config,
    ]
    assert b"".join(registry.open_blob(facts.reference, facts.layers[0])) == LAYER


def test_a_digest_is_held_to(serve: Serve, registry: Registry) -> None:
    served = serve()
    pinned = f"{served.reference}@{digest(served.manifest)}"
    assert registry.resolve(pinned, AMD64).facts.index is None
    served.documents[digest(served.manifest)] = (served.index, "application/json")
    with pytest.raises(BundleError, match=f"has the digest {digest(served.index)}, expected {digest(served.manifest)}"):
        registry.resolve(pinned, AMD64)


def test_another_platform_is_refused_by_name(serve: Serve, registry: Registry) -> None:
    served = serve()
    with pytest.raises(BundleError, match=r"no image for linux/arm64; its platforms: linux/amd64"):
        registry.resolve(served.reference, Platform("linux", "arm64"))
    with pytest.raises(BundleError, match="is for linux/amd64, expected linux/arm64"):
        registry.resolve(f"{served.reference}@{digest(served.manifest)}", Platform("linux", "arm64"))


def test_an_absent_image_is_said_to_be_absent(serve: Serve, registry: Registry) -> None:
    served = serve()
    with pytest.raises(ImageUnavailable, match=f"does not have it: {served.reference}:none"):
        registry.resolve(f"{served.reference}:none", AMD64)


def test_an_endless_manifest_is_not_read_to_its_end(serve: Serve, registry: Registry) -> None:
    served = serve()
    served.documents["latest"] = (bytes(5 << 20), "application/json")
    with pytest.raises(BundleError, match="more than 4194304 bytes"):
        registry.resolve(served.reference, AMD64)


@pytest.mark.parametrize("offset", [0, 1, CHUNK_BYTES, len(LAYER) - 1, len(LAYER)])
@pytest.mark.parametrize("has_ranges", [True, False])
def test_a_blob_is_read_from_anywhere(serve: Serve, registry: Registry, offset: int, has_ranges: bool) -> None:
    served = serve(has_ranges=has_ranges)
    hashed = hashlib.sha256(LAYER[:offset])
    assert b"".join(registry.open_blob(served.reference, BLOB, offset, hashed)) == LAYER[offset:]
    assert hashed.hexdigest() == BLOB.digest.removeprefix("sha256:")


@pytest.mark.parametrize("has_ranges", [True, False])
def test_a_cut_connection_is_continued_where_it_broke(
    serve: Serve, registry: Registry, pauses: list[float], has_ranges: bool
) -> None:
    served = serve(has_ranges=has_ranges, cut_after=CHUNK_BYTES + 1000, cuts=2)
    chunks = list(registry.open_blob(served.reference, BLOB))
    assert b"".join(chunks) == LAYER
    asked = [headers.get("range") for path, headers in served.asked if "/blobs/" in path]
    assert asked[0] is None
    assert all(asked[1:])
    assert len(pauses) == 2


def test_a_connection_that_brings_nothing_is_given_up(serve: Serve, registry: Registry, pauses: list[float]) -> None:
    served = serve(has_ranges=False, cut_after=1000, cuts=1000)
    with pytest.raises(ImageUnavailable, match=f"did not give .* in {ATTEMPTS} attempts") as caught:
        list(registry.open_blob(served.reference, BLOB))
    assert "continues where it stopped" in caught.value.hint
    assert pauses == [1.0, 2.0, 4.0, 8.0, 16.0]


@pytest.mark.parametrize("status", [429, 503])
def test_a_busy_registry_is_waited_for(serve: Serve, registry: Registry, pauses: list[float], status: int) -> None:
    served = serve(busy=2, busy_status=status)
    assert registry.resolve(served.reference, AMD64)
    assert pauses == [7.0, 7.0]


def test_what_is_waited_for_is_said(serve: Serve, tmp_path: Path) -> None:
    said: list[str] = []
    served = serve(busy=1)
    registry = Registry({"DOCKER_CONFIG": str(tmp_path)}, lambda seconds: None, said.append)
    assert registry.resolve(served.reference, AMD64)
    assert said == [f"waiting for the registry {served.host}: it answers 503"]
    registry.close()


def test_redirects_without_end_are_given_up(serve: Serve, registry: Registry) -> None:
    served = serve()
    served.blobs_at = f"http://{served.host}"
    with pytest.raises(ImageUnavailable, match="from one address to the next without end"):
        registry.resolve(served.reference, AMD64)


@pytest.mark.parametrize("address", ["socks5://ann:a-secret@127.0.0.1:9", "ftp://ann:a-secret@127.0.0.1:9"])
def test_a_proxy_that_cannot_be_used_is_named_and_its_password_is_not(
    registry: Registry, monkeypatch: pytest.MonkeyPatch, address: str
) -> None:
    monkeypatch.setenv("ALL_PROXY", address)
    with pytest.raises(ImageUnavailable, match=r"The proxy for registry\.invalid cannot be used") as caught:
        registry.resolve("registry.invalid/a", AMD64)
    assert "a-secret" not in f"{caught.value!r} {caught.value.__cause__!r}"


def test_a_broken_certificate_of_a_registry_is_named(
    registry: Registry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(registry_connection, "_CERTIFICATES", tmp_path)
    folder = tmp_path / "registry.invalid:5000"
    folder.mkdir()
    (folder / "ca.crt").write_text("no certificate")
    with pytest.raises(ImageUnavailable, match=r"registry\.invalid:5000/ca\.crt cannot be read"):
        registry.resolve("registry.invalid:5000/a", AMD64)


def test_a_registry_that_is_not_there_is_named(registry: Registry) -> None:
    with pytest.raises(ImageUnavailable, match=r"127\.0\.0\.1:1 did not give 127\.0\.0\.1:1/a:latest"):
        registry.resolve("127.0.0.1:1/a", AMD64)


@pytest.mark.parametrize(
    ("data", "seen"),
    [
        (LAYER[:-1], f"it has {len(LAYER) - 1} bytes, expected {len(LAYER)}"),
        (LAYER + b"x", f"more than {len(LAYER)} bytes"),
        (b"x" + LAYER[1:], "its bytes have the digest sha256:"),
    ],
)
def test_other_bytes_are_refused_naming_image_and_blob(
    serve: Serve, registry: Registry, data: bytes, seen: str
) -> None:
    served = serve()
    served.blobs[BLOB.digest] = data
    with pytest.raises(BundleError, match=seen) as caught:
        list(registry.open_blob(served.reference, BLOB))
    assert f"Blob {BLOB.digest} of {served.reference}:latest" in caught.value.message


def test_a_tag_s_digest_is_that_of_its_index(serve: Serve, registry: Registry) -> None:
    served = serve()
    assert registry.find_digest(served.reference) == digest(served.index)
    assert registry.find_digest(f"{served.reference}@{digest(served.manifest)}") == digest(served.manifest)


def test_each_name_has_its_digest_or_the_reason_why_there_is_none(serve: Serve) -> None:
    name = serve().reference
    reports: list[str] = []
    found = find_digests([f"{name}:latest", f"{name}:none"], reports.append)
    assert isinstance(found[f"{name}:latest"], str)
    assert isinstance(found[f"{name}:none"], ImageUnavailable)
    assert "asking registries for 2 images" in reports
