"""The Korean pages say what the English ones do: the same sections, commands and words of the program."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

CHECKOUT = Path(__file__).parents[2]
PAIRS = {
    "README.md": "README.ko.md",
    "docs/guides/troubleshooting.md": "docs/ko/troubleshooting.md",
}


def read(name: str) -> str:
    return (CHECKOUT / name).read_text(encoding="utf-8")


def list_commands(text: str) -> list[str]:
    """Lines of shell, without what is said about them."""
    blocks = re.findall(r"^```sh\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
    lines = [re.sub(r"\s+#.*", "", line) for block in blocks for line in block.splitlines()]
    return [line for line in lines if line.startswith((".venv/bin/", "make ", "echo "))]


def list_messages(text: str) -> list[list[str]]:
    """What the first column of each table says is seen."""
    tables = [part.split("\n\n", 1)[0].splitlines() for part in text.split("\n\n| ")[1:]]
    return [[line.split(" | ")[0].removeprefix("| ") for line in lines[2:]] for lines in tables]


@pytest.mark.parametrize(("english", "korean"), PAIRS.items())
def test_each_command_stands_in_both(english: str, korean: str) -> None:
    assert list_commands(read(english)) == list_commands(read(korean))
    assert list_commands(read(english))


def test_the_readme_has_the_same_sections() -> None:
    count = [len(re.findall(r"^## ", read(name), re.MULTILINE)) for name in ("README.md", "README.ko.md")]
    assert count[0] == count[1]


def test_each_make_target_of_the_korean_table_is_one_of_the_english() -> None:
    english, korean = (
        set(re.findall(r"^\| `(make [\w-]+)`", read(name), re.MULTILINE)) for name in ("README.md", "README.ko.md")
    )
    assert korean
    assert korean <= english


def test_troubleshooting_explains_the_same_messages() -> None:
    english, korean = (
        list_messages(read(name)) for name in ("docs/guides/troubleshooting.md", "docs/ko/troubleshooting.md")
    )
    assert english == korean
    assert len(english) == 2


def test_what_people_search_for_is_explained() -> None:
    shown = "\n".join(list_messages(read("docs/guides/troubleshooting.md"))[1])
    for words in ("`context_length_exceeded`", "issue with the selected model", "`model_not_found`", "401", "429"):
        assert words in shown


def test_each_code_that_is_explained_is_one_of_the_gateway() -> None:
    table = read("docs/ko/troubleshooting.md").split("## 도구가 보여 주는 말")[1]
    codes = re.findall(r"`([a-z]+(?:_[a-z]+)+)`", "\n".join(line.split(" | ")[0] for line in table.splitlines()))
    source = "".join(path.read_text(encoding="utf-8") for path in (CHECKOUT / "services/api-gateway").rglob("*.py"))
    assert codes
    assert [code for code in codes if f'"{code}"' not in source] == []
