"""Loading as values: what is written where, what a journal proves, what a machine must have."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stackctl.core.bundle.format.manifest import Manifest
from stackctl.core.bundle.load.checks import Disk, Machine, check_machine, check_space
from stackctl.core.bundle.load.journal import DONE, DROP, PART, parse_journal, render_lines
from stackctl.core.bundle.load.plan import Kept, find_installed, plan_load
from stackctl.core.bundle.load.record import LoadRecord, parse_record, render_record
from stackctl.errors import Severity
from tests.bundle_builder import ImageBytes, build_bundle, make_bytes

BLOCK = make_bytes("block", 16 * 1024)
MODELS = {"a": make_bytes("a", 20_000), "b": {"b.gguf": BLOCK + BLOCK + b"end"}}
FILES = {"config/stack.yml": b"version: 1\n", "wheels/x.whl": b""}
MACHINE = Machine("linux", "x86_64", "3.11", "0.1.0", "28.0.0")


@pytest.fixture(scope="module")
def manifest(tmp_path_factory: pytest.TempPathFactory) -> Manifest:
    return build_bundle(
        tmp_path_factory.mktemp("bundle"), files=FILES, models=MODELS, images=[ImageBytes("gateway", [{"x": b"x"}])]
    )


def write(manifest: Manifest, data: dict[str, bytes], kept: tuple[str, ...] = ()) -> dict[str, bytes]:
    """What the files hold when the plan is carried out."""
    plan = plan_load(manifest, Kept(kept))
    files = {output.path: bytearray(output.size) for output in plan.outputs}
    for _, content in plan.carried:
        for place in content.places:
            files[place.path][place.offset : place.offset + content.size] = data[content.sha256]
    return {path: bytes(content) for path, content in files.items()}


def test_carrying_out_the_plan_makes_every_file(manifest: Manifest) -> None:
    import hashlib

    pieces = [MODELS["a"][:16384], MODELS["a"][16384:], BLOCK, b"end", *FILES.values()]  # type: ignore[index]
    made = write(manifest, {hashlib.sha256(piece).hexdigest(): piece for piece in pieces})
    by_name = {path.rpartition("/")[2]: data for path, data in made.items()}
    assert by_name == {
        "a.gguf": MODELS["a"],
        "b.gguf": BLOCK + BLOCK + b"end",
        "stack.yml": b"version: 1\n",
        "x.whl": b"",
    }


def test_a_content_at_several_places_is_read_once(manifest: Manifest) -> None:
    (content,) = [item for item in plan_load(manifest).wanted if len(item.places) > 1]
    assert [place.offset for place in content.places] == [0, 16 * 1024]
    assert content.written_bytes == 32 * 1024


def test_what_is_kept_is_not_written_and_images_stay_in_the_parts(manifest: Manifest) -> None:
    models = [model.digest for model in manifest.models]
    outputs = plan_load(manifest, Kept(models)).outputs
    assert {output.path for output in outputs} == {f"release/files/{path}" for path in FILES}
    (left,) = plan_load(manifest, Kept(models, ["config/stack.yml"])).outputs
    assert left.path == "release/files/wheels/x.whl"
    assert plan_load(manifest, Kept(models, FILES)).outputs == ()


def test_a_journal_does_not_speak_for_other_places(manifest: Manifest) -> None:
    model = next(model for model in manifest.models if model.served_names == ("b",))
    whole = {item.sha256: item.key for item in plan_load(manifest).wanted}
    staged = plan_load(manifest, Kept([model.digest]), model.files[0].chunks).wanted
    moved = [item for item in staged if item.sha256 == model.files[0].chunks[0]]
    assert [item.key == whole[item.sha256] for item in moved] == [False]


def test_an_installed_release_has_a_place_for_each_content(manifest: Manifest) -> None:
    found = find_installed(manifest, "releases/x")
    assert found.keys() == {item.sha256 for item in plan_load(manifest).wanted}
    assert {item.path for item in found.values() if item.path.startswith("releases")} == {
        f"releases/x/files/{path}" for path in FILES
    }


def test_a_journal_says_what_was_last_true() -> None:
    text = render_lines(PART, ["k 10", "k 20"]) + render_lines(DONE, ["a", "b"]) + render_lines(DROP, ["a", "k"])
    journal = parse_journal(text + render_lines(PART, ["k 5", "m 7"]))
    assert (journal.done, journal.parts) == ({"b"}, {"k": 5, "m": 7})


@given(st.integers(0, 200), st.binary(max_size=20))
def test_a_torn_or_foreign_line_never_counts(cut: int, rubbish: bytes) -> None:
    lines = render_lines(DONE, [f"{number:064x}-{number:08x}" for number in range(3)])
    journal = parse_journal(lines[:cut] + rubbish.decode("utf-8", "replace").replace("\n", ""))
    assert journal.done <= {f"{number:064x}-{number:08x}" for number in range(3)}


@pytest.mark.parametrize(
    ("change", "subjects"),
    [
        ({}, []),
        ({"architecture": "riscv64"}, ["architecture"]),
        ({"architecture": "aarch64", "os": "freebsd"}, ["os", "architecture"]),
        ({"docker": "23.0.1"}, ["docker"]),
        ({"docker": "24.0"}, []),
        ({"docker": "", "python": "3.12"}, ["python"]),
    ],
)
def test_what_a_machine_must_be(manifest: Manifest, change: dict[str, str], subjects: list[str]) -> None:
    found = check_machine(manifest, replace(MACHINE, **change))
    assert [item.subject for item in found if item.severity is Severity.ERROR] == subjects


def test_what_only_one_runtime_lacks_is_a_warning(manifest: Manifest) -> None:
    (found,) = check_machine(manifest, replace(MACHINE, python="3.12"))
    assert (found.subject, found.severity) == ("python", Severity.WARNING)
    (found,) = check_machine(manifest, replace(MACHINE, stackctl="0.2.0"))
    assert "stackctl 0.1.0 packed it; this is 0.2.0" in found.message


def test_two_needs_on_one_disk_are_added() -> None:
    models, images = Disk("models", "/srv", 1, 100, 60), Disk("images", "/var", 1, 100, 60)
    (found,) = check_space([models, images])
    assert found.message == "100 B are free; needed are 60 B for models and 60 B for images"
    assert list(check_space([models, replace(images, device=2)])) == []


def test_a_record_survives_being_written_and_others_are_none() -> None:
    record = LoadRecord("i", "n", 1, "verified", "K", "c", "2026-11-20T12:00:00Z", ("compose",), "0.1.0")
    assert parse_record(render_record(record)) == record
    assert [parse_record(text) for text in ("", "{}", "[]", "nothing", '{"runtimes": 1}')] == [None] * 5


def test_paths_of_a_release_are_this_sites(manifest: Manifest) -> None:
    from stackctl.core.bundle.load.release import Release

    release = Release(manifest, "/s/offline/releases/x", "/s/offline", "", "")
    assert Path(release.wheels) == Path("/s/offline/releases/x/files/wheels")
    assert release.gpus == ()
    assert release.title == f"test-stack 1 ({manifest.short_id})"
