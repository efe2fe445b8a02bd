"""The operator's masks in stack.yml: read, refused with their line, and handed to the gateway."""

from __future__ import annotations

import json

import pytest
import yaml
from gateway.catalog.parse import parse_catalog

from stackctl.core.settings.stackfile_reader import parse_stackfile
from stackctl.errors import ConfigError
from stackctl.operations.site.load import load_site
from stackctl.operations.site.render import render_site
from tests.fakes import SITE, World, write_env


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


def test_they_reach_the_gateway_as_they_were_written() -> None:
    world = World(write_env(STACK_RUNTIME="process"))
    pattern = r"EMP-\d{6}$|pin: '\d\"{2}' # no comment"
    rules = {"keep_days": 3, "mask": {"employee": pattern}}
    world.files[SITE / "stack.yml"] = json.dumps({"version": 1, "content_log": rules})
    rendered = render_site(world.effects, load_site(world.effects))
    content = yaml.safe_load(rendered.files["config.p1.yaml"])["gateway"]["content_log"]
    assert content == {"keep_days": 3, "keep_mb": 100, "masks": {"employee": pattern}}
