"""The operator's masks in stack.yml: read, refused with their line, and handed to the gateway."""

from __future__ import annotations

import pytest
from gateway.catalog.parse import parse_catalog

from stackctl.core.settings.stackfile_reader import parse_stackfile
from stackctl.errors import ConfigError


def test_masks_and_retention_are_read() -> None:
    rules = parse_stackfile("version: 1\ncontent_log:\n  keep_days: 3\n  mask: {employee: 'EMP-\\d{6}'}\n").content_log
    assert (rules.keep_days, rules.keep_mb, dict(rules.mask)) == (3, 100, {"employee": r"EMP-\d{6}"})


@pytest.mark.parametrize(
    ("text", "line", "words"),
    [
        ("mask: {a: '('}", 3, "is no regular expression"),
        ("mask: {a: 'x*'}", 3, "matches the empty text"),
        ("mask: {a: ''}", 3, "is empty"),
        ("mask: {A!: 'x'}", 3, "a word of small letters"),
        ("mask: {a: 7}", 3, "text"),
        (f"mask: {{a: {'x' * 501}}}", 3, "500"),
        ("keep_days: 0", 3, "1"),
        ("keep_mb: 1", 3, "16"),
        ("masks: {}", 3, "not a key"),
    ],
)
def test_what_is_wrong_is_said_with_its_line(text: str, line: int, words: str) -> None:
    with pytest.raises(ConfigError) as caught:
        parse_stackfile(f"version: 1\ncontent_log:\n  {text}\n")
    (finding,) = caught.value.findings
    assert finding.line == line
    assert words in finding.message


def test_the_gateway_refuses_a_mask_that_is_none() -> None:
    text = 'model_list: []\ngateway: {content_log: {masks: {a: "("}}}'
    with pytest.raises(ValueError, match="mask 'a'"):
        parse_catalog(text, {})
