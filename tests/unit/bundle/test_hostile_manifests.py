"""What is no manifest is refused in words, at little cost."""

from __future__ import annotations

import json
import tracemalloc
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stackctl.core.bundle.format.manifest import (
    encode_manifest,
)
from stackctl.core.bundle.format.manifest_reader import MAX_MANIFEST_BYTES, parse_manifest
from stackctl.errors import BundleError
from tests.unit.bundle.example_manifests import DATA, EXAMPLE, edit, encode, hash_tree, spell


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
    edited = encode(tree | {"id": hash_tree(tree)} if "id" in tree else tree)
    try:
        manifest = parse_manifest(edited)
    except BundleError as error:
        refused = str(error)
    else:
        refused = ""
        assert encode_manifest(manifest) == edited
    assert refused.replace("\n", "").isprintable()


def test_the_example_itself_passes() -> None:
    assert parse_manifest(spell()) == EXAMPLE


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
        pytest.param(spell(surprise=1), "surprise", id="an unknown field"),
        pytest.param(DATA.replace(EXAMPLE.id.encode(), b"0" * 64), "the content's is", id="another id"),
        pytest.param(spell(format="ai-stack-bundle/2"), "format", id="a format to come"),
        pytest.param(spell(name="../up"), "name", id="a name that is a path"),
        pytest.param(spell(base={"id": "0" * 64, "version": 1}), "not older", id="a base of the same version"),
        pytest.param(spell(inherited=[{"sha256": "0" * 64, "size": 1}]), "there is no base", id="no base"),
        pytest.param(edit(lambda t: t["parts"][0].update(size=512)), "its members make", id="a part's size"),
        pytest.param(edit(lambda t: t["parts"][0].update(name="part-0009.tar")), "part-0009.tar", id="a part's name"),
        pytest.param(edit(lambda t: t["parts"].pop()), "blobs", id="a part less"),
        pytest.param(edit(lambda t: t["blobs"][0].update(offset=0)), "lies at 0", id="two at one place"),
        pytest.param(edit(lambda t: t["blobs"].reverse()), "blobs", id="another order"),
        pytest.param(edit(lambda t: t["blobs"][1].update(part=2**40)), "out of order", id="a part that is not"),
        pytest.param(edit(lambda t: t["blobs"].append(t["blobs"][0])), "blobs", id="a blob twice"),
        pytest.param(edit(lambda t: t.update(models=[])), "belongs to no image", id="content of nothing"),
        pytest.param(edit(lambda t: t["models"].append(t["models"][0])), "stands 2 times", id="a model twice"),
        pytest.param(edit(lambda t: t["models"][0]["files"][0].update(size=4999)), "add up", id="a model's size"),
        pytest.param(edit(lambda t: t["models"][0].update(files=[])), "has no file", id="a model of nothing"),
        pytest.param(edit(lambda t: t["models"][0]["files"][0].update(path="../x")), "path", id="a model outside"),
        pytest.param(edit(lambda t: t["models"][0].update(licence="\x1b[2J")), "licence", id="a terminal's control"),
        pytest.param(edit(lambda t: t["models"][0].update(licence="\u202elive")), "licence", id="backward writing"),
        pytest.param(edit(lambda t: t["files"][0].update(path="/etc/passwd")), "files.0.path", id="an absolute path"),
        pytest.param(edit(lambda t: t["files"][0].update(path="a/../b")), "files.0.path", id="a path upward"),
        pytest.param(edit(lambda t: t["files"][0].update(path="a\n")), "files.0.path", id="a path of two lines"),
        pytest.param(edit(lambda t: t["files"][0].update(sha256="0" * 64)), "not among the blobs", id="no content"),
        pytest.param(edit(lambda t: t["images"][0].update(diff_ids=[])), "0 diff ids", id="no diff ids"),
        pytest.param(edit(lambda t: t["images"][0].update(alias="a.invalid/b:" + "0" * 12)), "alias", id="an alias"),
        pytest.param(edit(lambda t: t["images"][0].update(alias="docker.io/b:" + "0" * 12)), "alias", id="a registry"),
    ],
)
def test_a_hostile_manifest_is_refused_and_said_why(data: bytes, words: str) -> None:
    with pytest.raises(BundleError) as refused:
        parse_manifest(data)
    assert words in str(refused.value)
    assert str(refused.value).replace("\n", "").isprintable()
    assert len(refused.value.findings) <= 20


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
