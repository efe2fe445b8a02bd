"""Which wheels a lock file asks for, on which version of Python and which machine."""

from __future__ import annotations

import tomllib
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stackctl.adapters.wheels.wheelhouse import describe_wheel
from stackctl.core.bundle.pack.lock_file import LockEntry, parse_lock, select_entries
from stackctl.core.bundle.pack.wheel_choice import (
    Wheel,
    choose_wheel,
    explain_refusal,
    list_platform_tags,
    parse_listing,
    rank_tags,
    render_project,
)
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


def test_platform_tags_name_every_glibc_up_to_the_one_that_is_promised() -> None:
    tags = list_platform_tags("x86_64")
    assert tags[0] == "manylinux_2_28_x86_64"
    assert {"manylinux2014_x86_64", "manylinux_2_17_x86_64", "manylinux1_x86_64", "linux_x86_64"} <= set(tags)
    assert "manylinux2010_aarch64" not in list_platform_tags("aarch64")


@pytest.mark.parametrize(
    ("names", "python", "chosen"),
    [
        (["a-1-py3-none-any", "a-1-cp312-cp312-manylinux_2_17_x86_64"], "3.12", 1),
        (["a-1-py3-none-any", "a-1-cp313-cp313-manylinux_2_17_x86_64"], "3.12", 0),
        (["a-1-cp312-cp312-manylinux_2_17_x86_64", "a-1-cp312-cp312-manylinux_2_28_x86_64"], "3.12", 1),
        (["a-1-cp312-cp312-manylinux_2_34_x86_64", "a-1-cp312-cp312-musllinux_1_2_x86_64"], "3.12", None),
        (["a-1-cp312-cp312-manylinux2014_x86_64.manylinux_2_17_x86_64"], "3.12", 0),
        (["a-1-cp39-abi3-manylinux_2_17_aarch64", "a-1-cp39-abi3-manylinux_2_17_x86_64"], "3.13", 1),
        (["a-1-cp314-cp314t-manylinux_2_17_x86_64", "a-1-cp314-cp314-manylinux_2_17_x86_64"], "3.14", 1),
        (["no wheel", "a-1"], "3.12", None),
    ],
)
def test_the_wheel_is_the_one_that_an_installer_takes(names: list[str], python: str, chosen: int | None) -> None:
    wheels = [Wheel(f"{name}.whl", f"https://files/{name}.whl", 1, A) for name in names]
    found = choose_wheel(LockEntry("a", "1", "", (A,)), wheels, rank_tags(python, "x86_64"))
    assert (found.name if found else None) == (None if chosen is None else wheels[chosen].name)


def test_a_better_wheel_that_the_lock_does_not_name_is_left_alone() -> None:
    wheels = [Wheel("a-1-cp312-cp312-manylinux_2_28_x86_64.whl", "", 1, B), Wheel("a-1-py3-none-any.whl", "", 1, A)]
    found = choose_wheel(LockEntry("a", "1", "", (A,)), wheels, rank_tags("3.12", "x86_64"))
    assert found is not None
    assert (found.name, found.accepted) == ("a-1-py3-none-any.whl", (A,))


def test_an_index_that_states_no_digest_is_taken_at_the_lock_s_word() -> None:
    found = choose_wheel(
        LockEntry("a", "1", "", (A, B)), [Wheel("a-1-py3-none-any.whl", "")], rank_tags("3.12", "x86_64")
    )
    assert found is not None
    assert found.accepted == (A, B)


def test_a_listing_is_read_with_and_without_what_is_optional() -> None:
    text = f"""
[[packages]]
name = "A_b"
version = "1"
wheels = [
    {{ url = "https://files/x/A_b-1%2Bcpu-py3-none-any.whl", size = 7, hashes = {{ sha256 = "{A}" }} }},
    {{ path = "/wheels/A_b-1-py3-none-any.whl", hashes = {{ sha512 = "0" }} }},
]
[[packages]]
name = "source-only"
version = "1"
"""
    assert parse_listing(text) == {
        "a-b": (
            Wheel("A_b-1+cpu-py3-none-any.whl", "https://files/x/A_b-1%2Bcpu-py3-none-any.whl", 7, A),
            Wheel("A_b-1-py3-none-any.whl", "/wheels/A_b-1-py3-none-any.whl"),
        ),
        "source-only": (),
    }


def test_what_is_asked_for_is_exact_and_needs_no_metadata() -> None:
    project = tomllib.loads(render_project(parse_lock(LOCK, "a.lock")[:2], "3.12"))
    assert project["project"]["dependencies"] == ["everywhere==1.0", "old==2.4.6"]
    assert [item["requires-dist"] for item in project["tool"]["uv"]["dependency-metadata"]] == [[], []]


def test_a_refusal_is_told_in_one_line() -> None:
    lines = [
        "error: Request failed after 3 retries",
        "  cause: Failed to fetch: `https://index/simple/a/`",
        "  cause: client error (Connect)",
        "  cause: Connection refused (os error 111)",
    ]
    assert explain_refusal(lines) == (
        "Request failed after 3 retries; Failed to fetch: `https://index/simple/a/`; Connection refused (os error 111)"
    )


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
