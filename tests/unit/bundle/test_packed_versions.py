"""Which version of a stack was packed last: what is written beside a key comes back, and nothing else does."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stackctl.adapters.bundle.version_memory import VersionMemory
from stackctl.core.bundle.pack.packed_versions import PackedVersion, parse_versions, render_versions
from stackctl.errors import BundleError, Finding

ONE, TWO = PackedVersion(1, "a" * 64), PackedVersion(2, "b" * 64)

versions = st.dictionaries(st.text(), st.builds(PackedVersion, st.integers(1, 2**53 - 1), st.text("0123456789abcdef")))


@given(versions)
def test_what_is_written_comes_back(known: dict[str, PackedVersion]) -> None:
    assert parse_versions(render_versions(known), "file") == known


@pytest.mark.parametrize(
    "text",
    ["[]", "{", "null", '{"a": 1}', '{"a": {"version": 0, "content": ""}}', '{"a": {"version": "1", "content": ""}}'],
)
def test_a_damaged_file_is_refused_in_words(text: str) -> None:
    with pytest.raises(BundleError, match="file is damaged") as refused:
        parse_versions(text, "file")
    assert "--version" in refused.value.hint


def test_each_stack_has_a_version_of_its_own_beside_the_key(tmp_path: Path) -> None:
    warnings: list[Finding] = []
    memory = VersionMemory(tmp_path / "bundle.key", warnings.append)
    assert memory.load() == {}
    memory.save("one", TWO)
    memory.save("other", ONE)
    memory.save("one", ONE)
    assert VersionMemory(tmp_path / "bundle.key", warnings.append).load() == {"one": TWO, "other": ONE}
    assert (tmp_path / "bundle.key.versions.json").is_file()
    assert warnings == []


def test_without_a_key_nothing_is_remembered(tmp_path: Path) -> None:
    memory = VersionMemory(None, lambda finding: None)
    memory.save("one", ONE)
    assert memory.load() == {}
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_cannot_be_written_is_worth_a_warning(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    warnings: list[Finding] = []
    VersionMemory(tmp_path / "file" / "bundle.key", warnings.append).save("one", TWO)
    assert "--version 3" in warnings[0].hint
