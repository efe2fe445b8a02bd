"""Editing tools' own files: what was meant is in them, and everything else is as it was."""

from __future__ import annotations

import json
from typing import Any

import pytest
import tomlkit
import yaml
from hypothesis import given
from hypothesis import strategies as st

from stackctl.core.connect.edit import edit_text
from stackctl.core.connect.json_text import edit_json, read_json_text
from stackctl.core.connect.merging import merge
from stackctl.core.connect.values import FileKind

NAMES = st.sampled_from(["a", "b", "model", "env", "한글", 'with "quotes"', "//", "/*"])
SCALARS = st.none() | st.booleans() | st.integers() | st.text() | st.floats(allow_nan=False, allow_infinity=False)
VALUES = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES, inner, max_size=4), max_leaves=12
)
OBJECTS = st.dictionaries(NAMES, VALUES, max_size=4)

SETTINGS = """\
// what I like
{
    "theme": "dark", /* not light */
    "env": {
        "ANTHROPIC_MODEL": "other", // mine
    },
    // the last word
}
"""


def test_comments_order_and_indentation_stay() -> None:
    after = edit_json(SETTINGS, {"env": {"ANTHROPIC_MODEL": "local-chat", "ANTHROPIC_BASE_URL": "http://x"}, "more": 1})
    assert (
        after
        == """\
// what I like
{
    "theme": "dark", /* not light */
    "env": {
        "ANTHROPIC_MODEL": "local-chat", // mine
        "ANTHROPIC_BASE_URL": "http://x"
    },
    // the last word
    "more": 1
}
"""
    )


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("", '{\n  "a": 1\n}\n'),
        ("// nothing but this", '// nothing but this\n{\n  "a": 1\n}\n'),
        ("{}", '{\n  "a": 1\n}'),
        ('{"b": 2}\n', '{"b": 2,\n  "a": 1\n}\n'),
        ('{\n\t"b": 2\n}', '{\n\t"b": 2,\n\t"a": 1\n}'),
        ('{\n  "b": 2 // two\n}', '{\n  "b": 2, // two\n  "a": 1\n}'),
        ('{"a": true}', '{"a": 1}'),
        ("{ // nothing\n}", '{ // nothing\n  "a": 1\n}'),
    ],
)
def test_a_member_more(before: str, after: str) -> None:
    assert edit_json(before, {"a": 1}) == after


@pytest.mark.parametrize(
    ("kind", "text"),
    [
        ("json", '{\n  // mine\n  "b": 2\n}\n'),
        ("toml", "b = 2 # mine\n[c]\nd = 1\n"),
        ("yaml", "# mine\nb: 2\nc:\n  - d\n"),
    ],
)
def test_a_mark_and_ends_of_lines_stay(kind: FileKind, text: str) -> None:
    after = edit_text(kind, text, {"a": 1})
    assert edit_text(kind, "\ufeff" + text, {"a": 1}) == "\ufeff" + after
    assert edit_text(kind, text.replace("\n", "\r\n"), {"a": 1}) == after.replace("\n", "\r\n")


@pytest.mark.parametrize("text", ["a:   1\nb:\n    c: [1,2]\n", "a: 1", "%YAML 1.1\n---\na: 1\n"])
def test_where_nothing_is_to_change_no_space_does(text: str) -> None:
    assert edit_text("yaml", text, {"a": 1}) == text
    assert edit_text("json", '{"a":   true}', {"a": 1}) == '{"a":   1}'


@given(OBJECTS, OBJECTS, st.sampled_from([None, 2, 4, "\t"]))
def test_any_object_holds_what_was_meant_and_a_second_time_changes_nothing(
    before: dict[str, Any], values: dict[str, Any], indent: int | str | None
) -> None:
    text = edit_json(json.dumps(before, indent=indent, ensure_ascii=False), values)
    assert json.loads(text) == merge(before, values)
    assert edit_json(text, values) == text


@given(st.text())
def test_any_text_is_read_or_refused(text: str) -> None:
    try:
        after = edit_text("json", text, {"a": 1})
    except ValueError:
        return
    assert read_json_text(after)["a"] == 1


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[1]", "names and values"),
        ('{"a": 1 "b": 2}', "line 1: ',' or '}' was expected"),
        ('{\n"a" 1}', "line 2: a name in quotes and ':' were expected"),
        ('{"a": }', "line 1: a value was expected"),
        ('{"a": 1} {', "line 1: more after the end"),
        ('{"a": 1', "was expected"),
        ('{"a": /* }', "a value was expected"),
        ('{"a":' * 200, "nested too deeply"),
    ],
)
def test_what_is_no_json_stays_as_it_is(text: str, said: str) -> None:
    with pytest.raises(ValueError, match=said.replace("}", r"\}")):
        edit_text("json", text, {"a": 1})


def test_a_value_gives_way_to_an_object() -> None:
    assert json.loads(edit_text("json", '{"env": "a text"}', {"env": {"a": 1}})) == {"env": {"a": 1}}


CODEX = """\
# mine
model = "other"   # why not
approval_policy = "never"

[model_providers.other]
name = "other"  # stays
"""


def test_toml_keeps_comments_and_other_tables() -> None:
    values = {"model": "local-chat", "model_providers": {"stack": {"name": "stack"}}}
    after = edit_text("toml", CODEX, values)
    assert tomlkit.parse(after).unwrap() == merge(tomlkit.parse(CODEX).unwrap(), values)
    assert {"# mine", "# why not", "# stays"} <= {f"#{line.partition('#')[2]}" for line in after.splitlines()}
    assert edit_text("toml", after, values) == after


CONTINUE = """\
# my models
name: mine
version: 0.0.1
schema: v1
models:
  - name: other   # stays
    provider: "ollama"
  - name: local-chat
    provider: openai
    apiBase: http://old/v1
"""


def test_yaml_keeps_comments_and_quotes_and_lists_of_others() -> None:
    values = {"models": [{"name": "local-chat", "apiBase": "http://new/v1"}, {"name": "local-embed"}]}
    after = edit_text("yaml", CONTINUE, values)
    read = yaml.safe_load(after)
    assert [model["name"] for model in read["models"]] == ["other", "local-chat", "local-embed"]
    assert read["models"][1] == {"name": "local-chat", "apiBase": "http://new/v1"}
    assert after.startswith(CONTINUE[: CONTINUE.index("  - name: local-chat")])
    assert edit_text("yaml", after, values) == after


@pytest.mark.parametrize("text", ["", "# nothing but this\n", "---\n", "other: 1\n"])
def test_yaml_of_any_beginning(text: str) -> None:
    after = edit_text("yaml", text, {"model": "openai/local-chat"})
    assert yaml.safe_load(after)["model"] == "openai/local-chat"
    assert ("# nothing" in after) == ("# nothing" in text)


@pytest.mark.parametrize(
    ("kind", "text"),
    [
        ("yaml", "a: [1"),
        ("yaml", "a: " + "[" * 3000),
        ("yaml", "- 1\n"),
        ("yaml", "a: 1\na: 2\n"),
        ("toml", "a = "),
        ("toml", "a = 1\na = 2\n"),
    ],
)
def test_what_cannot_be_read_is_refused(kind: Any, text: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        edit_text(kind, text, {"b": 1})


@given(st.dictionaries(st.text("abc", min_size=1), VALUES), OBJECTS)
def test_any_yaml_holds_what_was_meant_or_is_refused(before: dict[str, Any], values: dict[str, Any]) -> None:
    text = yaml.safe_dump(before, allow_unicode=True, sort_keys=False)
    try:
        after = edit_text("yaml", text, values)
    except ValueError:
        return
    assert yaml.safe_load(after) == merge(yaml.safe_load(text), values)
