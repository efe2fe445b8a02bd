"""Names that tools ask for by themselves: which aliases they need, and how these come into `stack.yml` and out."""

from __future__ import annotations

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from stackctl.core.connect.alias_text import add_aliases, remove_aliases
from stackctl.core.connect.names import find_aliases, list_missing
from stackctl.core.connect.tools import TOOLS
from stackctl.core.connect.values import Gateway, Model
from stackctl.core.settings.stackfile_reader import parse_stackfile

GATEWAY = Gateway("http://127.0.0.1:8000", Model("local-chat", 32768), "local-embed")
NEW = {"claude-*": "local-chat", "gpt-*": "local-code"}
NAMES = st.text("abcz-*.", min_size=1, max_size=6)


def find(tool: str, written: dict[str, str] | None, answered: dict[str, str] | None = None) -> list[str]:
    found = find_aliases(TOOLS[tool], GATEWAY, (written or {}) if answered is None else answered, written)
    return [f"{alias.name} -> {alias.model}: {alias.state}" for alias in found]


@pytest.mark.parametrize(
    ("tool", "found"),
    [
        ("claude-code", ["claude-* -> local-chat: missing"]),
        ("codex", ["gpt-* -> local-chat: missing", "codex-* -> local-chat: missing"]),
        ("promptfoo", ["gpt-* -> local-chat: missing", "text-embedding-* -> local-embed: missing"]),
        ("aider", []),
    ],
)
def test_each_name_that_a_tool_insists_on_is_proposed(tool: str, found: list[str]) -> None:
    assert find(tool, {}) == found


@pytest.mark.parametrize(
    ("written", "answered", "found"),
    [
        ({"claude-*": "local-code"}, None, ["claude-* -> local-code: answered"]),
        ({"claude-*": "local-code"}, {}, ["claude-* -> local-code: written"]),
        ({"claude-*": "local-code"}, {"claude-*": "local-chat"}, ["claude-* -> local-code: written"]),
        ({"*": "local-code"}, None, ["* -> local-code: answered"]),
        (
            {"claude-haiku-*": "small", "gpt-4o": "other"},
            None,
            ["claude-haiku-* -> small: answered", "claude-* -> local-chat: missing"],
        ),
        ({}, {"claude-*": "local-chat"}, ["claude-* -> local-chat: missing"]),  # 'up' will take it away
        (None, {"claude-*": "far-chat"}, ["claude-* -> far-chat: answered"]),  # of another machine
    ],
)
def test_what_is_there_is_shown_and_not_proposed(
    written: dict[str, str] | None, answered: dict[str, str] | None, found: list[str]
) -> None:
    assert find("claude-code", written, answered) == found


def test_without_a_model_that_embeds_no_such_name_is_proposed() -> None:
    bare = Gateway("http://127.0.0.1:8000", Model("local-chat", None), "")
    assert list_missing(find_aliases(TOOLS["promptfoo"], bare, {}, {})) == {"gpt-*": "local-chat"}


COMMENTED = """\
# mine
version: 1
aliases:
    team-*: local-chat   # of the team
    # the last one

# what follows
limits: {retries:   2}
"""


def test_comments_spaces_and_order_stay() -> None:
    after = add_aliases(COMMENTED, NEW)
    lines = "    claude-*: local-chat\n    gpt-*: local-code\n"
    head = COMMENTED.index("    # the last one")
    assert after == COMMENTED[:head] + lines + COMMENTED[head:]
    assert remove_aliases(after, NEW) == (COMMENTED, NEW)


@pytest.mark.parametrize(
    "text",
    [
        "# nothing but this\n",
        "version: 1\n",
        "---\nversion: 1\n",
        "version: 1\n\n\nlimits: {retries: 2}\n",
        "aliases:\n  'a': b\n",
        "aliases: &same\n  a: b\n",
        "한글: 1\naliases:\n  a: b\n",
    ],
)
@pytest.mark.parametrize("mark", ["", "\ufeff"])
@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_what_was_put_in_is_taken_out_again(text: str, mark: str, end: str) -> None:
    text = mark + text.replace("\n", end)
    after = add_aliases(text, NEW)
    assert yaml.safe_load(after.removeprefix("\ufeff"))["aliases"].items() >= NEW.items()
    assert (end == "\r\n") <= (after.count("\n") == after.count("\r\n"))
    assert after.startswith(mark)
    assert remove_aliases(after, NEW) == (text, NEW)


@pytest.mark.parametrize(
    "text", ["", "aliases: {a: b}\n", "{version: 1}\n", "version: 1", "aliases:\n", "aliases: ~\n"]
)
def test_other_ways_to_write_it_are_taken_too(text: str) -> None:
    before = yaml.safe_load(text) or {}
    after = yaml.safe_load(add_aliases(text, NEW))
    assert after == {**before, "aliases": {**(before.get("aliases") or {}), **NEW}}


def test_what_a_person_changed_since_stays() -> None:
    text = add_aliases("version: 1\n", NEW).replace("local-code", "another") + "limits: {retries: 2}  # mine\n"
    after, gone = remove_aliases(text, NEW)
    assert gone == {"claude-*": "local-chat"}
    assert after == "version: 1\n\naliases:\n  gpt-*: another\nlimits: {retries: 2}  # mine\n"
    assert remove_aliases("version: 1\n", NEW) == ("version: 1\n", {})


@pytest.mark.parametrize("text", ["- 1\n", "aliases: [1]\n", "a: [", "a: 1\n---\nb: 1\n", "a: " + "[" * 2000])
def test_what_cannot_be_added_to_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        add_aliases(text, NEW)


@given(st.dictionaries(NAMES, NAMES, max_size=3), st.dictionaries(NAMES, NAMES, min_size=1, max_size=3))
def test_any_names_come_in_and_out(before: dict[str, str], new: dict[str, str]) -> None:
    text = yaml.safe_dump({"version": 1, "aliases": before}, sort_keys=False) + "# the end\n"
    after = add_aliases(text, new)
    assert yaml.safe_load(after) == {"version": 1, "aliases": {**before, **new}}
    assert after.endswith("# the end\n")
    if not before.keys() & new.keys():
        assert yaml.safe_load(remove_aliases(after, new)[0]).get("aliases") in (before, before or None)


def test_what_is_written_is_a_stack_yml() -> None:
    assert parse_stackfile(add_aliases("version: 1\n", NEW)).aliases == NEW


def test_what_another_command_put_in_meanwhile_is_not_put_in_twice() -> None:
    once = add_aliases(COMMENTED, NEW)
    assert add_aliases(once, NEW) == once
    assert parse_stackfile(add_aliases(once, {**NEW, "o3-*": "local-chat"})).aliases["o3-*"] == "local-chat"
