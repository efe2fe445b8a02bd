"""What a manifest says: everything that a packer makes comes back, and what contradicts itself does not."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stackctl.core.bundle.format.manifest import (
    Manifest,
    build_alias,
    encode_manifest,
    hash_body,
    hash_model,
    render_sums,
)
from stackctl.core.bundle.format.manifest_reader import parse_manifest
from stackctl.errors import BundleError
from tests.bundle_builder import ImageBytes, assemble_bundle
from tests.unit.bundle.example_manifests import EXAMPLE, build_example, spell

names = st.from_regex(r"[a-z0-9][a-z0-9-]{0,8}", fullmatch=True)

paths = st.from_regex(r"[A-Za-z0-9_][A-Za-z0-9._+-]{0,8}(/[A-Za-z0-9_][A-Za-z0-9._+-]{0,8}){0,2}", fullmatch=True)

contents = st.binary(max_size=300)


def _is_tree(files: dict[str, bytes]) -> bool:
    lowered = [path.lower() for path in files]
    folders = {"/".join(path.split("/")[:depth]) for path in lowered for depth in range(1, path.count("/") + 1)}
    return len(set(lowered)) == len(lowered) and not folders & set(lowered)


trees = st.dictionaries(paths, contents, max_size=5).filter(_is_tree)


@st.composite
def manifests(draw: st.DrawFn) -> Manifest:
    images = [
        ImageBytes(f"service-{number}", [{"etc/name": draw(contents)}], has_index=draw(st.booleans()))
        for number in range(draw(st.integers(0, 2)))
    ]
    manifest, _ = assemble_bundle(
        files=draw(trees),
        bootstrap=draw(trees),
        models={f"{name}-model": data + name.encode() for name, data in draw(st.dictionaries(names, contents)).items()},
        images=images,
        version=draw(st.integers(1, 2**53 - 1)),
        part_size=draw(st.sampled_from([8192, 65536])),
        chunk_bytes=draw(st.integers(16, 400)),
    )
    return manifest


@given(manifests())
@settings(max_examples=100)
def test_what_a_packer_makes_comes_back_as_it_was(manifest: Manifest) -> None:
    assert parse_manifest(encode_manifest(manifest)) == manifest


def test_a_model_of_one_chunk_hashes_to_what_its_chunk_does() -> None:
    manifest = build_example(models={"chat": b"small"})
    (model,) = manifest.models
    files = (model.files[0].model_copy(update={"sha256": "0" * 64}),)
    changed = model.model_copy(update={"digest": hash_model(files), "files": files})
    draft = manifest.model_copy(update={"models": (changed,)})
    with pytest.raises(BundleError, match="is said to hash to 0000"):
        parse_manifest(encode_manifest(draft.model_copy(update={"id": hash_body(draft)})))


def test_a_format_to_come_is_told_from_damage() -> None:
    with pytest.raises(BundleError) as refused:
        parse_manifest(spell(format="ai-stack-bundle/2", surprise=1))
    assert "has the format ai-stack-bundle/2; this stackctl reads ai-stack-bundle/1" in str(refused.value)
    assert "bootstrap/install.sh" in refused.value.hint
    assert refused.value.findings == ()


@pytest.mark.parametrize(
    "files", [{"a": b"1", "A": b"2"}, {"a": b"1", "a/b": b"2"}, {"a/b": b"1", "A/B/c": b"2"}], ids=str
)
def test_files_that_cannot_lie_beside_each_other_are_refused(files: dict[str, bytes]) -> None:
    with pytest.raises(BundleError, match="contradicts itself"):
        parse_manifest(encode_manifest(build_example(files=files)))


def test_a_name_too_long_for_a_disk_is_refused() -> None:
    with pytest.raises(BundleError, match="more than 255 bytes"):
        parse_manifest(encode_manifest(build_example(models={"chat": {"ü" * 128: b"1"}})))


def test_a_delta_leaves_out_what_its_base_has() -> None:
    base = build_example()
    delta = build_example(files={"config/stack.yml": b"models: {a: b}\n"}, base=base, version=2)
    assert len(delta.blobs) == 1
    assert {item.sha256 for item in delta.inherited} == {blob.sha256 for blob in base.blobs} - {base.files[0].sha256}
    assert parse_manifest(encode_manifest(delta)) == delta


def test_the_id_is_the_contents_and_nothing_elses() -> None:
    assert build_example().id == EXAMPLE.id == hash_body(EXAMPLE)
    assert build_example(version=2).id != EXAMPLE.id


def test_sums_name_every_part_and_bootstrap_file() -> None:
    lines = dict(line.split("  ")[::-1] for line in render_sums(EXAMPLE).splitlines())
    assert lines == {part.name: part.sha256 for part in EXAMPLE.parts} | {
        "bootstrap/install.sh": EXAMPLE.bootstrap[0].sha256
    }


@pytest.mark.parametrize("name", ["stack", "my_stack", "a__b", "a_"])
def test_an_alias_is_a_name_that_docker_takes_and_no_server_has(name: str) -> None:
    manifest = build_example(name=name)
    host, _, rest = build_alias(name, "api-gateway", manifest.images[0].manifest.digest).partition(".invalid/")
    assert rest.startswith("api-gateway:")
    assert "_" not in host
    assert not host.endswith("-")
    assert parse_manifest(encode_manifest(manifest)) == manifest
