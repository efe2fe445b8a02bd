"""Which wheels a lock file asks for, on which version of Python and which machine."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stackctl.adapters.wheelhouse import describe_wheel, list_platform_tags
from stackctl.core.bundle.lock_file import LockEntry, parse_lock, render_lock, select_entries
from stackctl.errors import BundleError, ConfigError
from tests.package_index import make_wheel

A, B = "a" * 64, "b" * 64
LOCK = f"""\
# made by uv
everywhere==1.0 \\
    --hash=sha256:{B} \\
    --hash=sha256:{A}
old==2.4.6 ; python_full_version < '3.12' \\
    --hash=sha256:{A}
new==2.5.5 ; python_full_version >= '3.12' \\
    --hash=sha256:{A}
early==5.0.1 ; python_full_version < '3.11.3' \\
    --hash=sha256:{A}
win==312 ; sys_platform == 'win32' \\
    --hash=sha256:{A}
arm==1 ; platform_machine == 'aarch64' or platform_machine == 'arm64' \\
    --hash=sha256:{A}
cpython==1!2.0+cu12 ; implementation_name != 'PyPy' and platform_python_implementation != 'PyPy' \\
    --hash=sha256:{A}
"""


def select(python: str, machine: str = "x86_64") -> list[list[str]]:
    return [[entry.name for entry in part] for part in select_entries(parse_lock(LOCK, "a.lock"), python, machine)]


def test_entries_are_read_with_marker_and_hashes() -> None:
    entries = parse_lock(LOCK, "a.lock")
    assert entries[0] == LockEntry("everywhere", "1.0", "", (A, B))
    assert entries[1].marker == "python_full_version < '3.12'"
    assert str(entries[-1]) == "cpython==1!2.0+cu12"


def test_markers_are_those_of_the_target_and_not_of_this_python() -> None:
    assert select("3.12") == [["everywhere", "new", "cpython"]]
    assert select("3.13", "aarch64") == [["everywhere", "new", "arm", "cpython"]]


def test_every_patch_release_is_served() -> None:
    assert select("3.11") == [["everywhere", "old", "early", "cpython"], ["everywhere", "old", "cpython"]]


@pytest.mark.parametrize(
    "text",
    [
        "a==1\n",
        f"a>=1 --hash=sha256:{A}\n",
        "a==1 --hash=md5:abc\n",
        f"a==1 ; nonsense --hash=sha256:{A}\n",
        f"-r other.lock --hash=sha256:{A}\n",
        f"a @ https://example.com/a.whl --hash=sha256:{A}\n",
        "--index-url https://example.com\n",
    ],
)
def test_what_is_not_pinned_by_hash_is_refused(text: str) -> None:
    with pytest.raises(ConfigError, match=r"a\.lock"):
        parse_lock(text, "a.lock")


@given(st.text(alphabet=st.sampled_from("ab=;1. \n\\#'<-hsh:"), max_size=80))
def test_any_text_is_read_or_refused(text: str) -> None:
    with suppress(ConfigError):
        parse_lock(text, "a.lock")


def test_a_rendered_lock_reads_back_without_markers() -> None:
    entries = parse_lock(LOCK, "a.lock")
    again = parse_lock(render_lock(entries), "b.lock")
    assert [(str(entry), entry.hashes) for entry in again] == [(str(entry), entry.hashes) for entry in entries]
    assert not any(entry.marker for entry in again)


def test_platform_tags_name_every_glibc_up_to_the_one_that_is_promised() -> None:
    tags = list_platform_tags("x86_64")
    assert tags[0] == "manylinux_2_28_x86_64"
    assert {"manylinux2014_x86_64", "manylinux_2_17_x86_64", "manylinux1_x86_64", "linux_x86_64"} <= set(tags)
    assert "manylinux2010_aarch64" not in list_platform_tags("aarch64")


def test_a_wheel_is_described_from_its_own_metadata(tmp_path: Path) -> None:
    path = tmp_path / "a_package-1.0-py3-none-any.whl"
    path.write_bytes(make_wheel("a_package", "1.0", "py3-none-any"))
    found = describe_wheel(path, "5" * 64)
    assert (found.kind, found.name, found.version, found.licence) == ("wheel", "a_package", "1.0", "")
    assert found.sha256 == "5" * 64


@pytest.mark.parametrize("data", [b"", b"no archive", make_wheel("a", "1", "t").replace(b"METADATA", b"METODATA")])
def test_what_is_no_wheel_is_named(tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "a.whl"
    path.write_bytes(data)
    with pytest.raises(BundleError, match=r"a\.whl is no wheel"):
        describe_wheel(path, "")
