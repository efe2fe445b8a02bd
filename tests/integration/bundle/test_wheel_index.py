"""Indexes that do not answer, want a login, are behind a proxy, break off, or give other bytes."""

from __future__ import annotations

from pathlib import Path

import pytest

from stackctl.adapters.wheels import wheel_downloads
from stackctl.adapters.wheels.wheelhouse import collect_wheels
from stackctl.errors import BundleError, RuntimeFailure
from tests.integration.bundle.wheel_site import PYTHONS, collect, save_lock
from tests.package_index import PackageIndex


@pytest.mark.parametrize("answer", ["nobody listens", "it refuses"])
def test_an_index_that_does_not_answer_is_no_package_without_a_wheel(
    index: PackageIndex, tmp_path: Path, answer: str
) -> None:
    lock = save_lock(tmp_path, f"plain==1.0 --hash=sha256:{index.add_wheel('plain')}")
    url = "http://ann:s3cret@127.0.0.1:9/simple"
    if answer == "it refuses":
        index.refuses = True
        url = index.url.replace("://", "://ann:s3cret@")
    with pytest.raises(RuntimeFailure, match=r"could not be found: .*(refused|Forbidden)") as caught:
        collect_wheels(lock, PYTHONS, tmp_path / "cache", url, lambda _: None)
    assert "s3cret" not in caught.value.message
    assert "PIP_INDEX_URL" in caught.value.hint


def test_a_package_that_the_index_does_not_have_is_named(index: PackageIndex, tmp_path: Path) -> None:
    lock = save_lock(
        tmp_path,
        f"absent==1.0 --hash=sha256:{'0' * 64}",
        f"plain==1.0 --hash=sha256:{index.add_wheel('plain')}",
        f"plain-too==1.0 --hash=sha256:{'1' * 64}",
    )
    with pytest.raises(BundleError) as caught:
        collect(lock, index, ("3.12",))
    assert [finding.subject for finding in caught.value.findings] == ["absent==1.0", "plain-too==1.0"]


def test_other_bytes_than_the_index_promised_are_refused(index: PackageIndex, tmp_path: Path) -> None:
    lock = save_lock(tmp_path, f"plain==1.0 --hash=sha256:{index.add_wheel('plain')}")
    index.swapped["plain-1.0-py3-none-any.whl"] = b"other bytes"
    with pytest.raises(BundleError, match=r"plain-1\.0-py3-none-any\.whl is not what the lock names"):
        collect(lock, index)
    assert not list((tmp_path / "cache").rglob("*.whl*"))


@pytest.mark.parametrize("place", ["the index's address", "netrc"])
def test_an_index_behind_a_login_gives_its_files_too(
    index: PackageIndex, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, place: str
) -> None:
    lock = save_lock(tmp_path, f"plain==1.0 --hash=sha256:{index.add_wheel('plain')}")
    index.login, index.moved = "ann:s3c ret", True
    url = index.url.replace("://", "://ann:s3c%20ret@")
    if place == "netrc":
        url = index.url
        (tmp_path / "netrc").write_text('machine 127.0.0.1 login ann password "s3c ret"\n')
        monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    said: list[str] = []
    (path,) = collect_wheels(lock, ("3.12",), tmp_path / "cache", url, said.append)
    assert path.name == "plain-1.0-py3-none-any.whl"
    kept = [item.read_text() for item in (tmp_path / "cache").rglob("*.json")]
    assert "s3c" not in "".join([*said, *kept])


def test_a_folder_of_wheels_beside_the_index_is_looked_at(
    index: PackageIndex, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lock = save_lock(tmp_path, f"plain==1.0 --hash=sha256:{index.add_wheel('plain')}")
    folder = tmp_path / "a folder"
    folder.mkdir()
    (folder / "plain-1.0-py3-none-any.whl").write_bytes(index.files.popitem()[1])
    monkeypatch.setenv("PIP_FIND_LINKS", folder.as_uri())
    assert collect(lock, index) == ["plain-1.0-py3-none-any.whl"]


def test_pip_s_proxy_is_asked_for_list_and_files(
    index: PackageIndex, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lock = save_lock(tmp_path, f"plain==1.0 --hash=sha256:{index.add_wheel('plain')}")
    monkeypatch.setenv("PIP_PROXY", index.url.removesuffix("/simple"))
    (path,) = collect_wheels(lock, ("3.12",), tmp_path / "cache", "http://index.invalid/simple", lambda _: None)
    assert path.name == "plain-1.0-py3-none-any.whl"


def test_a_connection_that_breaks_is_tried_again(
    index: PackageIndex, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(wheel_downloads, "_DELAY_S", 0.0)
    lock = save_lock(tmp_path, f"plain==1.0 --hash=sha256:{index.add_wheel('plain')}")
    index.broken.add("plain-1.0-py3-none-any.whl")
    assert collect(lock, index) == ["plain-1.0-py3-none-any.whl"]
    assert len(index.fetched) == 2
