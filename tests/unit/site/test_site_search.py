"""Which folder is a site, and which one was meant where none is."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

import pytest

from stackctl.adapters.files.site_folders import find_site, load_known_sites, remember_site
from stackctl.core.site.search import MOST_KNOWN, add_known_site, find_nearest, is_site_env
from stackctl.errors import ConfigError
from tests.fakes import raised_by


@pytest.fixture
def environment(tmp_path: Path) -> Mapping[str, str]:
    return {"XDG_STATE_HOME": str(tmp_path / "state")}


def make_site(folder: Path, mark: str = "stack.yml") -> Path:
    (folder / mark).parent.mkdir(parents=True, exist_ok=True)
    (folder / mark).write_text("GATEWAY_KEY=x\n" if mark == ".env" else "")
    return folder


@pytest.mark.parametrize("mark", ["stack.yml", ".env", ".stack/state.json", "offline/current"])
def test_a_site_is_found_from_any_folder_in_it(tmp_path: Path, environment: Mapping[str, str], mark: str) -> None:
    site = make_site(tmp_path / "site", mark)
    below = site / "models" / "deep"
    below.mkdir(parents=True)
    assert find_site(site, environment, is_named=False) == site
    assert find_site(below, environment, is_named=False) == site
    assert find_site(site, environment, is_named=True) == site


def test_the_nearest_of_two_above_is_taken(tmp_path: Path, environment: Mapping[str, str]) -> None:
    make_site(tmp_path)
    inner = make_site(tmp_path / "a" / "inner")
    (inner / "x").mkdir()
    assert find_site(inner / "x", environment, is_named=False) == inner


@pytest.mark.parametrize(
    "files", [{}, {".env": "NODE_ENV=production\n"}, {".stack/lock": ""}, {".stack/config.yaml": ""}]
)
def test_another_programs_folder_is_none(
    tmp_path: Path, environment: Mapping[str, str], files: Mapping[str, str]
) -> None:
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    before = sorted(tmp_path.rglob("*"))
    error = raised_by(lambda: find_site(tmp_path, environment, is_named=False))
    assert isinstance(error, ConfigError)
    assert f"No site here: neither {tmp_path}" in error.message
    assert "stackctl init" in error.hint
    assert sorted(tmp_path.rglob("*")) == before


def test_a_folder_that_was_named_is_taken_as_it_is(tmp_path: Path, environment: Mapping[str, str]) -> None:
    site = make_site(tmp_path / "site")
    (site / "models").mkdir()
    error = raised_by(lambda: find_site(site / "models", environment, is_named=True))
    assert f"No site at {site / 'models'}" in error.message
    assert f"the nearest one is {site}" in error.hint


def test_a_mistyped_name_gets_the_one_that_was_meant(tmp_path: Path, environment: Mapping[str, str]) -> None:
    site = make_site(tmp_path / "production")
    remember_site(make_site(tmp_path / "far" / "away"), environment)
    remember_site(site, environment)
    remember_site(make_site(tmp_path / "test"), environment)
    wrong = tmp_path / "prodution"
    error = raised_by(lambda: find_site(wrong, environment, is_named=True))
    assert error.message == f"No site at {wrong}: there is no such folder."
    assert f"the nearest one is {site}" in error.hint
    assert f"stackctl init {wrong}" in error.hint


def test_a_site_below_is_named(tmp_path: Path, environment: Mapping[str, str]) -> None:
    site = make_site(tmp_path / "here" / "site")
    error = raised_by(lambda: find_site(tmp_path / "here", environment, is_named=False))
    assert f"--site {site}" in error.hint


def test_a_site_above_that_anybody_may_have_put_there_is_not_taken(
    tmp_path: Path, environment: Mapping[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    site = make_site(tmp_path / "shared")
    (site / "mine").mkdir()
    if os.geteuid() == 0:
        os.chown(site / "stack.yml", 12345, 12345)
    else:
        monkeypatch.setattr(os, "geteuid", lambda: 12345)
    error = raised_by(lambda: find_site(site / "mine", environment, is_named=False))
    assert f"the one in {site} belongs to another user" in error.message
    assert f"--site {site}" in error.hint
    assert find_site(site, environment, is_named=False) == site, "in it, one knows where one is"


def test_known_sites_are_those_that_are_there_the_last_first(tmp_path: Path, environment: Mapping[str, str]) -> None:
    one, two = make_site(tmp_path / "one"), make_site(tmp_path / "two")
    for site in (one, two, one):
        remember_site(site, environment)
    assert load_known_sites(environment) == [one, two]
    (one / "stack.yml").unlink()
    assert load_known_sites(environment) == [two]
    path = tmp_path / "state" / "stackctl" / "sites"
    assert path.stat().st_mode & 0o777 == 0o600


def test_a_list_that_cannot_be_kept_stops_nothing(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    environment = {"XDG_STATE_HOME": str(tmp_path / "file")}
    remember_site(make_site(tmp_path / "site"), environment)
    assert load_known_sites(environment) == []


def test_every_site_stays_known_and_the_last_used_are_suggested(tmp_path: Path, environment: Mapping[str, str]) -> None:
    sites = [make_site(tmp_path / "sites" / f"number-{number}") for number in range(MOST_KNOWN + 1)]
    for site in sites:
        remember_site(site, environment)
    assert load_known_sites(environment) == sites[::-1]
    suggested = []
    for wanted in (sites[1], sites[0]):
        with pytest.raises(ConfigError) as caught:
            find_site(wanted.with_name(f"{wanted.name}_"), environment, is_named=True)
        suggested.append(f"--site {wanted};" in caught.value.hint)
    assert suggested == [True, False]
    assert add_known_site("/30\n/31\n", Path("/31")) == "/31\n/30\n"


def test_the_nearest_place_counts_where_nothing_was_named() -> None:
    sites = [Path("/srv/a"), Path("/home/me/stack"), Path("/home/you/stack")]
    assert find_nearest(Path("/home/me/work"), sites, is_named=False) == Path("/home/me/stack")
    assert find_nearest(Path("/opt"), sites, is_named=False) == Path("/srv/a"), "the last used"
    assert find_nearest(Path("/opt"), [], is_named=True) is None


@pytest.mark.parametrize(
    ("text", "is_site"),
    [
        ("GATEWAY_KEY=", True),
        ("A=1\nexport GATEWAY_KEY = x\n", True),
        ("BUNDLE_PUBLIC_KEY=RWQ\n", True),
        ("# GATEWAY_KEY=x\n", False),
        ("MY_GATEWAY_KEY=x\n", False),
        ("", False),
    ],
)
def test_an_env_file_is_ours_by_its_key(text: str, is_site: bool) -> None:
    assert is_site_env(text) is is_site
