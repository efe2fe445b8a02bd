"""What changed between two bundles, and what a delta between them costs."""

from __future__ import annotations

from stackctl.core.bundle.format.manifest import Manifest
from stackctl.core.bundle.pack.diff import diff_bundles, render_lines
from tests.bundle_builder import ImageBytes, assemble_bundle, make_bytes

MODEL = make_bytes("model", 10_000)
BASE = ImageBytes("api-gateway", [{"base": make_bytes("base", 3000)}, {"app": b"1"}])


def _make(**content: object) -> Manifest:
    defaults: dict[str, object] = {
        "files": {"config/stack.yml": b"a: 1\n", "config/same": b"same", "old": b"gone"},
        "models": {"chat": MODEL, "small": b"s" * 10},
        "images": [BASE],
        "bootstrap": {"install.sh": b"1"},
        "chunk_bytes": 1000,
        "part_size": 20_000,
    }
    return assemble_bundle(**defaults | content)[0]  # type: ignore[arg-type]


def test_equal_content_has_no_difference() -> None:
    diff = diff_bundles(_make(), _make())
    assert (diff.changes, diff.delta_bytes, diff.facts) == ((), 0, ())
    assert diff.shared_bytes == sum(blob.size for blob in _make().blobs)


def test_each_change_is_named_with_both_sides_and_what_is_new() -> None:
    edited = b"HEAD" + MODEL[4:]
    newer = _make(
        files={"config/stack.yml": b"a: 22\n", "config/same": b"same", "new": b"added"},
        models={"chat": edited, "embed": b"e" * 10},
        bootstrap={"install.sh": b"22"},
        version=2,
    )
    diff = diff_bundles(_make(), newer)
    seen = {(change.kind, change.name): (change.title, change.new_bytes) for change in diff.changes}
    assert seen == {
        ("model", "chat"): ("changed", 1000),
        ("model", "embed"): ("added", 10),
        ("model", "small"): ("removed", 0),
        ("file", "config/stack.yml"): ("changed", 6),
        ("file", "new"): ("added", 5),
        ("file", "old"): ("removed", 0),
        ("bootstrap", "install.sh"): ("changed", 2),
    }
    assert diff.delta_bytes == 1000 + 10 + 6 + 5
    assert diff.facts == (("version", "1", "2"),)
    chat = next(change for change in diff.changes if change.name == "chat")
    assert chat.old
    assert chat.new
    assert chat.old.digest != chat.new.digest
    assert chat.old.size == chat.new.size == len(MODEL)


def test_a_delta_carries_exactly_what_the_diff_said() -> None:
    old = _make()
    content = {"files": {"config/stack.yml": b"a: 3\n"}, "models": {"chat": MODEL + b"more"}, "version": 2}
    diff, delta = diff_bundles(old, _make(**content)), _make(base=old, **content)
    assert sum(blob.size for blob in delta.blobs) == diff.delta_bytes
    assert sum(item.size for item in delta.inherited) == diff.shared_bytes
    assert diff_bundles(old, delta) == diff


def test_an_image_shares_its_layers() -> None:
    image = ImageBytes("api-gateway", [BASE.layers[0], {"app": b"2"}], reference="registry.example/api-gateway:1.1")
    old, new = _make(), _make(images=[image], version=2)
    (change,) = diff_bundles(old, new).changes
    assert (change.kind, change.name, change.title) == ("image", "api-gateway", "changed")
    assert change.old
    assert change.new
    assert (change.old.detail, change.new.detail) == (
        BASE.reference or "registry.example/api-gateway:1.0",
        image.reference,
    )
    assert change.new_bytes == change.new.size - new.images[0].layers[0].size


def test_lines_are_shown_as_a_diff_without_a_terminals_controls() -> None:
    text = render_lines("config/stack.yml", "a\nb\nc\n", "a\nB\x1b[2J\nc\n")
    assert text.splitlines() == [
        "--- old/config/stack.yml",
        "+++ new/config/stack.yml",
        "@@ -1,3 +1,3 @@",
        " a",
        "-b",
        "+B\\x1b[2J",
        " c",
    ]
