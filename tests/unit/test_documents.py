"""What the pages for people point at is there: links and their headings, files of this project, make's targets."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path

import pytest

from tests.fakes import CHECKOUT

PAGES = sorted(
    page.relative_to(CHECKOUT)
    for folder in (CHECKOUT.glob("*.md"), (CHECKOUT / "docs").rglob("*.md"))
    for page in folder
)
FOLDERS = ("stackctl", "tests", "docs", "scripts", "services", "compose", ".ci", "changelog.d")

LINK = re.compile(r"\]\(([^)\s]+)\)")
NAMED_FILE = re.compile(rf"`((?:{'|'.join(map(re.escape, FOLDERS))})/[\w./-]+)`")
TARGET = re.compile(r"`make ([a-z0-9-]+)")
COMMAND = re.compile(r"^(?:\w+=\S+ )*make ([a-z0-9-]+)", re.MULTILINE)
HEADING = re.compile(r"^#+ (.+)$", re.MULTILINE)
CODE = re.compile(r"^```.*?^```", re.MULTILINE | re.DOTALL)
RECORD = re.compile(r"# (.+)\n\nDate: (\d{4}-\d\d-\d\d)\n\n")

each_page = pytest.mark.parametrize("page", PAGES, ids=str)


def list_anchors(text: str) -> set[str]:
    """The names that forges give a page's headings."""
    titles = (re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", title) for title in HEADING.findall(CODE.sub("", text)))
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


def list_dead_links(page: Path, text: str) -> Iterable[str]:
    for link in LINK.findall(CODE.sub("", text)):
        if re.match(r"[a-z]+:", link):
            continue
        name, _, anchor = link.partition("#")
        target = (CHECKOUT / page).parent / name if name else CHECKOUT / page
        if not target.exists() or (anchor and anchor not in list_anchors(target.read_text(encoding="utf-8"))):
            yield link


@each_page
def test_every_link_leads_somewhere(page: Path) -> None:
    assert list(list_dead_links(page, (CHECKOUT / page).read_text(encoding="utf-8"))) == []


@each_page
def test_every_file_that_is_named_exists(page: Path) -> None:
    named = NAMED_FILE.findall((CHECKOUT / page).read_text(encoding="utf-8"))
    assert [name for name in named if not (CHECKOUT / name).exists()] == []


@each_page
def test_every_make_target_that_is_named_exists(page: Path) -> None:
    targets = set(re.findall(r"^([a-z0-9-]+):", (CHECKOUT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))
    text = (CHECKOUT / page).read_text(encoding="utf-8")
    named = {*TARGET.findall(text), *COMMAND.findall("".join(CODE.findall(text)))}
    assert sorted(named - targets) == []


def test_a_dead_link_is_found() -> None:
    text = "# Here\n[a](README.md) [b](gone.md) [c](README.md#gone) [d](README.md#start) [e](https://example.org)\n"
    assert list(list_dead_links(Path("page.md"), text)) == ["gone.md", "README.md#gone"]


def test_every_decision_has_its_date_and_stands_in_the_list() -> None:
    folder = CHECKOUT / "docs" / "decisions"
    rows = []
    for record in folder.glob("*.md"):
        if record.name == "README.md":
            continue
        found = RECORD.match(record.read_text(encoding="utf-8"))
        assert found, f"{record.name} does not begin with its title and its date"
        title, date = found.groups()
        rows.append(f"| {date} | [{title}]({record.name}) |")
    listed = (folder / "README.md").read_text(encoding="utf-8").splitlines()
    assert [line for line in listed if line.startswith("| 2")] == sorted(rows)


def test_the_architecture_names_every_room() -> None:
    text = (CHECKOUT / "docs" / "architecture.md").read_text(encoding="utf-8")
    layers = [CHECKOUT / "stackctl" / name for name in ("core", "operations", "adapters")]
    rooms = {file.parent.name for layer in layers for file in layer.glob("*/__init__.py")}
    assert sorted(rooms - set(re.findall(r"\w+", text))) == []
