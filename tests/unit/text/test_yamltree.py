"""YAML with lines: every key is found, a key that stands twice is refused, no text crashes the reader."""

from __future__ import annotations

from contextlib import suppress

from hypothesis import example, given
from hypothesis import strategies as st

from stackctl.core.text.yamltree import parse_yaml
from stackctl.errors import ConfigError
from tests.fakes import raised_by

TEXT = """\
# head
models:
  one: {file: a.gguf}

  two:
    list:
      - x
      - key: value
"""


def test_every_key_and_item_has_its_line() -> None:
    tree = parse_yaml(TEXT, "f.yml")
    assert tree.lines[("models", "one", "file")] == 3
    assert tree.lines[("models", "two", "list", 1, "key")] == 8
    assert tree.find_line(("models", "two", "nothing", "below")) == 5
    assert tree.find_line(("elsewhere",)) == 2, "the document itself"


def test_a_key_that_stands_twice_is_found_with_both_lines() -> None:
    (finding,) = parse_yaml("a:\n  b: 1\n  c: 2\n  b: 3\n", "f.yml").findings
    assert finding.render_text() == "f.yml:4: a.b: stands twice, first on line 2"


def test_text_that_is_no_yaml_is_an_error_at_its_line() -> None:
    error = raised_by(lambda: parse_yaml("a: 1\nb: [1, 2\n", "f.yml"))
    assert isinstance(error, ConfigError)
    (finding,) = error.findings
    assert finding.file == "f.yml"
    assert finding.line >= 2


@given(st.text(st.sampled_from("ab01 :-[]{}\"'#&*!|>?,\n\t\0\x85%@`é")) | st.text())
@example("&a [*a]")
@example("? [a, b]\n: c")
@example("a: !!python/object:os.system x")
@example("2026-99-99: x")
@example(f"a: {'9' * 5000}")
@example("a: &x [1]\nb: *x\nc: *x")
@example("<<: {a: 1}\na: 2")
@example("---\na\n---\nb")
@example("[" * 2000)
def test_any_text_is_parsed_or_refused(text: str) -> None:
    with suppress(ConfigError):
        parse_yaml(text, "f.yml")
