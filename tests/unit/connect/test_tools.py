"""What each tool is told: nothing secret, the gateway's address, and lines that are valid in their language."""

from __future__ import annotations

import ast
import json
from collections.abc import Callable

import pytest
import tomlkit
import yaml

from stackctl.core.connect.show import list_parts
from stackctl.core.connect.tools import TOOLS
from stackctl.core.connect.values import KEY, Gateway, Guide, Model, Tool

GATEWAY = Gateway("http://127.0.0.1:8000", Model("local-chat", 32768), "local-embed")


def show(tool: Tool, gateway: Gateway = GATEWAY) -> str:
    return "".join(text for _, text in list_parts(tool.build(gateway), "its file"))


@pytest.mark.parametrize("tool", TOOLS.values(), ids=TOOLS)
def test_each_names_the_model_and_where_the_key_goes(tool: Tool) -> None:
    text = show(tool)
    assert "local-chat" in text or tool.name == "open-webui"
    assert KEY in text or tool.name in ("zed", "llm")
    assert "127.0.0.1:8000" in text or tool.name == "cursor"


@pytest.mark.parametrize("tool", [tool for tool in TOOLS.values() if tool.needs_tools or tool.name == "continue"])
def test_what_is_written_says_how_long_the_context_is(tool: Tool) -> None:
    guide = tool.build(GATEWAY)
    if guide.settings and tool.name != "claude-code":
        assert "32768" in show(tool)


@pytest.mark.parametrize("tool", TOOLS.values(), ids=TOOLS)
def test_each_is_valid_in_its_language(tool: Tool) -> None:
    guide: Guide = tool.build(GATEWAY)
    if guide.settings:
        (text,) = (text for title, text in list_parts(guide, "its file") if title == "in its file:")
        read: dict[str, Callable[[str], object]] = {
            "json": json.loads,
            "toml": tomlkit.parse,
            "yaml": yaml.safe_load,
        }
        assert read[guide.settings.kind](text) == guide.settings.values
    if guide.text.startswith(("import os", "from ")):
        ast.parse(guide.text)


def test_without_a_model_that_embeds_none_is_named() -> None:
    bare = Gateway("http://127.0.0.1:8000", Model("local-chat", None), "")
    assert all("embed" not in show(tool, bare) for tool in TOOLS.values())
