"""Which versions are said to work: the same in the catalogue, in the guide and in what the tests install."""

from __future__ import annotations

from datetime import date

import pytest

from stackctl.core.connect.show import describe_standing, render_table
from stackctl.core.connect.tools import TOOLS
from stackctl.core.connect.verified import VERIFIED
from tests.clients.pins import PINS, find_version
from tests.clients.table import GUIDE, read_table, render_guide, render_module


@pytest.mark.parametrize("tool", PINS)
def test_what_is_said_to_work_is_what_the_tests_install(tool: str) -> None:
    assert TOOLS[tool].checked == find_version(tool), "run 'make test-clients', which writes the table"


def test_nothing_is_said_to_work_that_no_test_runs() -> None:
    assert {name for name, tool in TOOLS.items() if tool.checked} == {*PINS, "curl"} == set(VERIFIED)


def test_the_guide_shows_the_catalogue() -> None:
    assert read_table(GUIDE.read_text(encoding="utf-8")) == render_table(TOOLS.values())


def test_each_says_what_is_known_of_it_and_since_when() -> None:
    assert all(date.fromisoformat(tool.checked_on) for tool in TOOLS.values())
    assert describe_standing(TOOLS["zed"]) == f"its documentation only, {TOOLS['zed'].checked_on}"
    assert describe_standing(TOOLS["curl"]) == " on ".join(VERIFIED["curl"])
    assert describe_standing(TOOLS["cursor"]).startswith("cannot work: its servers ask")


def test_a_run_is_written_into_both() -> None:
    known = {"curl": ("9.9.9", "2027-01-02")}
    guide = render_guide(GUIDE.read_text(encoding="utf-8"), known)
    assert "| `curl` | curl | 9.9.9 on 2027-01-02 |" in guide
    assert render_guide(guide, dict(VERIFIED)) == GUIDE.read_text(encoding="utf-8")
    source = render_module('"""Versions."""\n\nVERIFIED = old\n', known)
    assert source.startswith('"""Versions."""\n')
    written: dict[str, object] = {}
    exec(source.replace("MappingProxyType", "dict"), written)
    assert written["VERIFIED"] == known
