"""What a manifest may be: everything that a packer makes comes back, and nothing else is taken."""

from __future__ import annotations

import hashlib
import json
import tracemalloc
from collections.abc import Callable
from typing import Any

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
from stackctl.core.bundle.format.manifest_reader import MAX_MANIFEST_BYTES, parse_manifest
from stackctl.errors import BundleError
from tests.bundle_builder import ImageBytes, assemble_bundle, make_bytes

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


def _example(**content: Any) -> Manifest:
    defaults: dict[str, Any] = {
        "files": {"config/stack.yml": b"models: {}\n"},
        "models": {"chat": make_bytes("chat", 5000)},
        "images": [ImageBytes("api-gateway", [{"bin/run": b"1"}])],
        "bootstrap": {"install.sh": b"#!/bin/sh\n"},
        "part_size": 16384,
        "chunk_bytes": 1000,
    }
    return assemble_bundle(**defaults | content)[0]


EXAMPLE = _example()
DATA = encode_manifest(EXAMPLE)


@given(st.data())
@settings(max_examples=400)
def test_no_other_bytes_are_taken_for_it(data: st.DataObject) -> None:
    """Replaced, inserted, removed, repeated stretches: refused as a bundle's fault, or the very same bytes."""
    position = data.draw(st.integers(0, len(DATA)))
    removed = data.draw(st.integers(0, 8))
    inserted = data.draw(st.one_of(st.binary(max_size=8), st.sampled_from([b"{}", b"null", b"1e3", b'"', b",", b"-0"])))
    changed = DATA[:position] + inserted + DATA[position + removed :]
    if changed != DATA:
        with pytest.raises(BundleError):
            parse_manifest(changed)


@given(st.binary(max_size=200))
def test_any_bytes_are_refused_in_words(data: bytes) -> None:
    with pytest.raises(BundleError) as refused:
        parse_manifest(data)
    assert refused.value.message
    assert refused.value.hint


def _spell(**changes: Any) -> bytes:
    """The example with other fields and an id that fits them."""
    tree = json.loads(DATA) | changes
    return _encode(tree | {"id": _hash(tree)})


def _encode(tree: object) -> bytes:
    return json.dumps(tree, ensure_ascii=False, sort_keys=True, separators=(",", ":")).encode() + b"\n"


def _hash(tree: dict[str, Any]) -> str:
    return hashlib.sha256(_encode({key: value for key, value in tree.items() if key != "id"})).hexdigest()


def _edit(edit: Callable[[dict[str, Any]], object]) -> bytes:
    tree = json.loads(DATA)
    edit(tree)
    return _spell(**tree)


scalars = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(2**65), 2**65),
    st.floats(allow_nan=False, allow_infinity=False),
    st.text(st.characters(exclude_categories=["Cs"]), max_size=80),
    st.sampled_from(["0" * 64, "sha256:" + "0" * 64, "part-0002.tar", "..", EXAMPLE.blobs[0].sha256]),
)
values = st.one_of(scalars, st.lists(scalars, max_size=3), st.dictionaries(st.text(max_size=5), scalars, max_size=3))


def _find_spot(data: st.DataObject, tree: Any) -> tuple[Any, Any]:
    """A container somewhere in a tree, and one of its keys or indexes."""
    while True:
        keys = list(tree) if isinstance(tree, dict) else list(range(len(tree)))
        key = data.draw(st.sampled_from(keys))
        inner = tree[key]
        if not isinstance(inner, dict | list) or not inner or data.draw(st.integers(0, 5)) == 0:
            return tree, key
        tree = inner


@given(st.data())
@settings(max_examples=400)
def test_any_edit_is_refused_or_is_another_whole_manifest(data: st.DataObject) -> None:
    """The id always fits, so that only what the fields say can be wrong."""
    tree = json.loads(DATA)
    for _ in range(data.draw(st.integers(1, 3))):
        place, key = _find_spot(data, tree)
        action = data.draw(st.sampled_from(["replace", "remove", "repeat"]))
        if action == "remove":
            del place[key]
        elif action == "repeat" and isinstance(place, list):
            place.append(place[key])
        else:
            place[key] = data.draw(values)
        if not tree:
            return
    edited = _encode(tree | {"id": _hash(tree)} if "id" in tree else tree)
    try:
        manifest = parse_manifest(edited)
    except BundleError as error:
        refused = str(error)
    else:
        refused = ""
        assert encode_manifest(manifest) == edited
    assert refused.replace("\n", "").isprintable()


def test_the_example_itself_passes() -> None:
    assert parse_manifest(_spell()) == EXAMPLE


@pytest.mark.parametrize(
    ("data", "words"),
    [
        pytest.param(b"", "not JSON", id="empty"),
        pytest.param(b"\xef\xbb\xbf" + DATA, "not JSON", id="byte order mark"),
        pytest.param(DATA.decode().encode("utf-16"), "not JSON", id="utf-16"),
        pytest.param(DATA.replace(b"test-stack", b"test-\xff\xfetck"), "not JSON", id="no utf-8"),
        pytest.param(DATA.replace(b'"name":"test-stack"', b'"name":"\\ud800"'), "not JSON", id="half a surrogate"),
        pytest.param(DATA + b"\n", "canonical", id="a line more"),
        pytest.param(DATA.rstrip(), "canonical", id="no end of line"),
        pytest.param(DATA[:-1] + b"{}\n", "not JSON", id="two values"),
        pytest.param(DATA.replace(b'"version":1', b'"version":1,"version":1'), "canonical", id="a key twice"),
        pytest.param(DATA.replace(b'"version":1', b'"version": 1'), "canonical", id="a space"),
        pytest.param(DATA.replace(b"test-stack", b"test\\u002dstack"), "canonical", id="an escape"),
        pytest.param(DATA.replace(b'"version":1', b'"version":1.0'), "version", id="a float"),
        pytest.param(DATA.replace(b'"version":1', b'"version":1e0'), "version", id="an exponent"),
        pytest.param(DATA.replace(b'"version":1', b'"version":NaN'), "not JSON", id="NaN"),
        pytest.param(DATA.replace(b'"version":1', b'"version":Infinity'), "not JSON", id="infinity"),
        pytest.param(DATA.replace(b'"version":1', b'"version":true'), "version", id="a truth for a number"),
        pytest.param(DATA.replace(b'"version":1', b'"version":"1"'), "version", id="a text for a number"),
        pytest.param(DATA.replace(b'"version":1', b'"version":-1'), "version", id="negative"),
        pytest.param(DATA.replace(b'"version":1', b'"version":18446744073709551616'), "version", id="2 to the 64"),
        pytest.param(DATA.replace(b'"version":1', b'"version":' + b"9" * 5000), "not JSON", id="5000 digits"),
        pytest.param(b"[" * 1_000_000, "recursion", id="deep lists"),
        pytest.param(b'{"a":' * 1_000_000, "recursion", id="deep objects"),
        pytest.param(b'{"blobs":[' + b"{}," * 300_000 + b"{}]}", "blobs.0", id="many bad items"),
        pytest.param(
            b"{" + b",".join(b'"%d":1' % n for n in range(200_000)) + b"}", "200016 fields", id="many unknown fields"
        ),
        pytest.param(b" " * (MAX_MANIFEST_BYTES + 1), "at most", id="huge"),
        pytest.param(_spell(surprise=1), "surprise", id="an unknown field"),
        pytest.param(DATA.replace(EXAMPLE.id.encode(), b"0" * 64), "the content's is", id="another id"),
        pytest.param(_spell(format="ai-stack-bundle/2"), "format", id="a format to come"),
        pytest.param(_spell(name="../up"), "name", id="a name that is a path"),
        pytest.param(_spell(base={"id": "0" * 64, "version": 1}), "not older", id="a base of the same version"),
        pytest.param(_spell(inherited=[{"sha256": "0" * 64, "size": 1}]), "there is no base", id="no base"),
        pytest.param(_edit(lambda t: t["parts"][0].update(size=512)), "its members make", id="a part's size"),
        pytest.param(_edit(lambda t: t["parts"][0].update(name="part-0009.tar")), "part-0009.tar", id="a part's name"),
        pytest.param(_edit(lambda t: t["parts"].pop()), "blobs", id="a part less"),
        pytest.param(_edit(lambda t: t["blobs"][0].update(offset=0)), "lies at 0", id="two at one place"),
        pytest.param(_edit(lambda t: t["blobs"].reverse()), "blobs", id="another order"),
        pytest.param(_edit(lambda t: t["blobs"][1].update(part=2**40)), "out of order", id="a part that is not"),
        pytest.param(_edit(lambda t: t["blobs"].append(t["blobs"][0])), "blobs", id="a blob twice"),
        pytest.param(_edit(lambda t: t.update(models=[])), "belongs to no image", id="content of nothing"),
        pytest.param(_edit(lambda t: t["models"].append(t["models"][0])), "stands 2 times", id="a model twice"),
        pytest.param(_edit(lambda t: t["models"][0]["files"][0].update(size=4999)), "add up", id="a model's size"),
        pytest.param(_edit(lambda t: t["models"][0].update(files=[])), "has no file", id="a model of nothing"),
        pytest.param(_edit(lambda t: t["models"][0]["files"][0].update(path="../x")), "path", id="a model outside"),
        pytest.param(_edit(lambda t: t["models"][0].update(licence="\x1b[2J")), "licence", id="a terminal's control"),
        pytest.param(_edit(lambda t: t["models"][0].update(licence="\u202elive")), "licence", id="backward writing"),
        pytest.param(_edit(lambda t: t["files"][0].update(path="/etc/passwd")), "files.0.path", id="an absolute path"),
        pytest.param(_edit(lambda t: t["files"][0].update(path="a/../b")), "files.0.path", id="a path upward"),
        pytest.param(_edit(lambda t: t["files"][0].update(path="a\n")), "files.0.path", id="a path of two lines"),
        pytest.param(_edit(lambda t: t["files"][0].update(sha256="0" * 64)), "not among the blobs", id="no content"),
        pytest.param(_edit(lambda t: t["images"][0].update(diff_ids=[])), "0 diff ids", id="no diff ids"),
        pytest.param(_edit(lambda t: t["images"][0].update(alias="a.invalid/b:" + "0" * 12)), "alias", id="an alias"),
        pytest.param(_edit(lambda t: t["images"][0].update(alias="docker.io/b:" + "0" * 12)), "alias", id="a registry"),
    ],
)
def test_a_hostile_manifest_is_refused_and_said_why(data: bytes, words: str) -> None:
    with pytest.raises(BundleError) as refused:
        parse_manifest(data)
    assert words in str(refused.value)
    assert str(refused.value).replace("\n", "").isprintable()
    assert len(refused.value.findings) <= 20


def test_a_model_of_one_chunk_hashes_to_what_its_chunk_does() -> None:
    manifest = _example(models={"chat": b"small"})
    (model,) = manifest.models
    files = (model.files[0].model_copy(update={"sha256": "0" * 64}),)
    changed = model.model_copy(update={"digest": hash_model(files), "files": files})
    draft = manifest.model_copy(update={"models": (changed,)})
    with pytest.raises(BundleError, match="is said to hash to 0000"):
        parse_manifest(encode_manifest(draft.model_copy(update={"id": hash_body(draft)})))


def test_a_format_to_come_is_told_from_damage() -> None:
    with pytest.raises(BundleError) as refused:
        parse_manifest(_spell(format="ai-stack-bundle/2", surprise=1))
    assert "has the format ai-stack-bundle/2; this stackctl reads ai-stack-bundle/1" in str(refused.value)
    assert "bootstrap/install.sh" in refused.value.hint
    assert refused.value.findings == ()


@pytest.mark.parametrize(
    "files", [{"a": b"1", "A": b"2"}, {"a": b"1", "a/b": b"2"}, {"a/b": b"1", "A/B/c": b"2"}], ids=str
)
def test_files_that_cannot_lie_beside_each_other_are_refused(files: dict[str, bytes]) -> None:
    with pytest.raises(BundleError, match="contradicts itself"):
        parse_manifest(encode_manifest(_example(files=files)))


def test_a_name_too_long_for_a_disk_is_refused() -> None:
    with pytest.raises(BundleError, match="more than 255 bytes"):
        parse_manifest(encode_manifest(_example(models={"chat": {"ü" * 128: b"1"}})))


@pytest.mark.parametrize(
    "data",
    [
        b'{"blobs":[' + b"1," * 500_000 + b"1]}",
        b'{"name":"' + b"a" * 1_000_000 + b'"}',
        b"{" + b",".join(b'"%d":[]' % n for n in range(90_000)) + b"}",
    ],
    ids=["items", "text", "fields"],
)
def test_refusing_a_large_manifest_takes_little_memory(data: bytes) -> None:
    tracemalloc.start()
    try:
        with pytest.raises(BundleError):
            parse_manifest(data)
        assert tracemalloc.get_traced_memory()[1] < 40 * len(data)
    finally:
        tracemalloc.stop()


def test_a_delta_leaves_out_what_its_base_has() -> None:
    base = _example()
    delta = _example(files={"config/stack.yml": b"models: {a: b}\n"}, base=base, version=2)
    assert len(delta.blobs) == 1
    assert {item.sha256 for item in delta.inherited} == {blob.sha256 for blob in base.blobs} - {base.files[0].sha256}
    assert parse_manifest(encode_manifest(delta)) == delta


def test_the_id_is_the_contents_and_nothing_elses() -> None:
    assert _example().id == EXAMPLE.id == hash_body(EXAMPLE)
    assert _example(version=2).id != EXAMPLE.id


def test_sums_name_every_part_and_bootstrap_file() -> None:
    lines = dict(line.split("  ")[::-1] for line in render_sums(EXAMPLE).splitlines())
    assert lines == {part.name: part.sha256 for part in EXAMPLE.parts} | {
        "bootstrap/install.sh": EXAMPLE.bootstrap[0].sha256
    }


@pytest.mark.parametrize("name", ["stack", "my_stack", "a__b", "a_"])
def test_an_alias_is_a_name_that_docker_takes_and_no_server_has(name: str) -> None:
    manifest = _example(name=name)
    host, _, rest = build_alias(name, "api-gateway", manifest.images[0].manifest.digest).partition(".invalid/")
    assert rest.startswith("api-gateway:")
    assert "_" not in host
    assert not host.endswith("-")
    assert parse_manifest(encode_manifest(manifest)) == manifest
