"""The Korean pages say what the English ones do: the same sections, commands and words, and nothing changed since."""

from __future__ import annotations

import re

import pytest

from tests.fakes import CHECKOUT
from tests.unit.korean.pages import (
    list_commands,
    list_headings,
    list_marks,
    list_messages,
    list_sections,
    list_spans,
    read,
)

KOREAN = sorted(["README.ko.md", *(str(page.relative_to(CHECKOUT)) for page in (CHECKOUT / "docs/ko").glob("*.md"))])
# Pages that follow one English page from beginning to end, and the sections of it that they leave to it.
WHOLE = {
    "docs/ko/gpu.md": ("docs/guides/gpu.md", set[str]()),
    "docs/ko/models.md": ("docs/guides/models.md", set[str]()),
    "docs/ko/offline.md": ("docs/guides/offline.md", set[str]()),
    "docs/ko/troubleshooting.md": ("docs/guides/troubleshooting.md", set[str]()),
    "README.ko.md": ("README.md", {"README.md#commands", "README.md#guides", "README.md#tests"}),
}
SAME_HEADINGS = ("docs/ko/gpu.md", "docs/ko/models.md", "docs/ko/offline.md")
MENDING = """
{page}: the English text has changed since this page was compared with it.
Bring over what changed ('git log -p -- FILE' shows it), then write these lines into the comment at the page's end:
{lines}"""

each_page = pytest.mark.parametrize("page", KOREAN)


@each_page
def test_nothing_has_changed_since_the_page_was_compared(page: str) -> None:
    marks = list_marks(read(page))
    assert marks
    sections: dict[str, str] = {}
    for name in {address.partition("#")[0] for address in marks}:
        sections |= list_sections(name)
    gone = sorted(marks.keys() - sections.keys())
    assert not gone, f"{page}: take out the lines of sections that are gone, with what they said: {gone}"
    lines = [f"{address} {sections[address]}" for address in marks if marks[address] != sections[address]]
    assert not lines, MENDING.format(page=page, lines="\n".join(lines))


@pytest.mark.parametrize("page", WHOLE)
def test_no_section_is_left_out(page: str) -> None:
    english, left_out = WHOLE[page]
    sections = list_sections(english)
    new = [f"{address} {sections[address]}" for address in sections if address not in list_marks(read(page))]
    new = [line for line in new if line.split()[0] not in left_out]
    assert not new, MENDING.format(page=page, lines="\n".join(new))


@pytest.mark.parametrize("page", SAME_HEADINGS)
def test_the_headings_follow_the_english_ones(page: str) -> None:
    levels = [[level for _, level, _ in list_headings(read(name))] for name in (WHOLE[page][0], page)]
    assert levels[0] == levels[1]


@pytest.mark.parametrize("page", [page for page in WHOLE if page != "README.ko.md"])
def test_each_command_and_each_name_of_the_program_stands_in_both(page: str) -> None:
    english, korean = read(WHOLE[page][0]), read(page)
    assert list_commands(english) == list_commands(korean)
    assert list_spans(english) - list_spans(korean) == set()
    assert page not in SAME_HEADINGS or list_spans(korean) == list_spans(english)


def test_the_readme_has_the_same_commands_and_sections() -> None:
    english, korean = read("README.md"), read("README.ko.md")
    assert list_commands(english) == list_commands(korean)
    assert [level for _, level, _ in list_headings(english)] == [level for _, level, _ in list_headings(korean)]


def test_each_make_target_of_the_korean_table_is_one_of_the_english() -> None:
    english, korean = (
        set(re.findall(r"^\| `(make [\w-]+)`", read(name), re.MULTILINE)) for name in ("README.md", "README.ko.md")
    )
    assert korean
    assert korean <= english


def test_troubleshooting_explains_the_same_messages() -> None:
    english, korean = (list_messages(read(f"docs/{name}/troubleshooting.md")) for name in ("guides", "ko"))
    assert english == korean
    assert len(english) == 2


def test_what_people_search_for_is_explained() -> None:
    shown = "\n".join(list_messages(read("docs/guides/troubleshooting.md"))[1])
    for words in ("`context_length_exceeded`", "issue with the selected model", "`model_not_found`", "401", "429"):
        assert words in shown


@each_page
def test_the_readme_names_the_page(page: str) -> None:
    assert page == "README.ko.md" or f"]({page})" in read("README.ko.md")


def test_a_changed_section_is_another_one_and_a_line_broken_elsewhere_is_not(monkeypatch: pytest.MonkeyPatch) -> None:
    texts = (
        "# A\n\none two\n\n```sh\n# no heading\n```\n## B\nthree",
        "# A\none\ntwo\n```sh\n# no heading\n```\n\n## B\nfour",
    )
    before, after = (_list_of(text, monkeypatch) for text in texts)
    assert before["page.md#a"] == after["page.md#a"]
    assert before["page.md#b"] != after["page.md#b"]
    assert list(before) == ["page.md#a", "page.md#b"]


def _list_of(text: str, monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    monkeypatch.setattr("tests.unit.korean.pages.read", lambda _name: text)
    return list_sections("page.md")
