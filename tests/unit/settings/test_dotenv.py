"""`.env` text: values and their lines; setting a value leaves the rest as it was."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stackctl.core.settings.dotenv import parse_dotenv, set_values
from stackctl.errors import Severity

names = st.from_regex(r"[A-Z][A-Z0-9_]{0,8}", fullmatch=True)


@pytest.mark.parametrize(
    ("line", "value"),
    [
        ("A=plain", "plain"),
        ("export A=exported", "exported"),
        ("A = spaced # comment", "spaced"),
        ("A='it is # $HOME \\n'", "it is # $HOME \\n"),
        ('A="two\\nlines $X"', "two\nlines $X"),
        ("A=$HOME/${X}", "$HOME/${X}"),
        ("A=100%", "100%"),
        ("A=a=b:c", "a=b:c"),
        ("A=한글", "한글"),
        ("A=", ""),
        ("A", ""),
    ],
)
def test_a_value_is_what_stands_there(line: str, value: str) -> None:
    file = parse_dotenv(f"# head\n\n{line}\nB=1\n")
    assert (file.values["A"], file.lines["A"], file.values["B"], file.lines["B"]) == (value, 3, "1", 4)
    assert file.findings == ()


def test_a_line_that_cannot_be_read_is_an_error_at_its_place() -> None:
    (finding,) = parse_dotenv("A=1\n='x\nB=2\n").findings
    assert (finding.severity, finding.file, finding.line) == (Severity.ERROR, ".env", 2)


def test_a_name_that_stands_twice_is_a_warning_and_the_last_one_counts() -> None:
    file = parse_dotenv("A=1\n\nA=2\n")
    assert (file.values["A"], file.lines["A"]) == ("2", 3)
    (finding,) = file.findings
    assert (finding.severity, finding.line) == (Severity.WARNING, 3)
    assert "first on line 1" in finding.message


@given(st.text())
def test_no_text_is_too_strange_to_parse(text: str) -> None:
    file = parse_dotenv(text)
    assert file.values.keys() == file.lines.keys()
    assert all(line >= 1 for line in file.lines.values())


@given(st.dictionaries(names, st.text(st.characters(exclude_characters="'\\\0\r", exclude_categories=["Cs"]))))
def test_a_quoted_value_survives(values: dict[str, str]) -> None:
    text = "".join(f"{name}='{value}'\n" for name, value in values.items())
    assert parse_dotenv(text).values == values


plain_values = st.text(st.characters(codec="utf-8", exclude_characters="'\\\0\r"), max_size=20)


@given(st.dictionaries(names, plain_values), names, st.sampled_from(["8192", "sk-abc_DEF-1"]))
def test_setting_a_value_changes_nothing_else(before: dict[str, str], name: str, value: str) -> None:
    text = "# comment\n" + "".join(f"{key}='{old}'\n" for key, old in before.items() if "\n" not in old)
    kept = {key: old for key, old in before.items() if "\n" not in old}
    after = parse_dotenv(set_values(text, {name: value}))
    assert after.values == {**kept, name: value}
    assert set_values(text, {}) == text
