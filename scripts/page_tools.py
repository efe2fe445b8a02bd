"""Write what the gateway's page says of each tool, as JSON: ``page_tools.py``. Does I/O only there: stdout.

The gateway imports nothing of ``stackctl``, so it is given the texts that ``stackctl connect`` prints, with a place of
its own for each value that only the browser knows: ``{{url}}``, ``{{key}}``, ``{{model}}``, ``{{context}}``,
``{{output}}``, ``{{embed}}``.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from stackctl.core.connect.show import list_parts
from stackctl.core.connect.tools import TOOLS
from stackctl.core.connect.values import KEY, Gateway, Guide, Model, Tool

# No other text holds one of these.
_URL, _MODEL, _EMBED, _CONTEXT, _OUTPUT = "http://place.invalid", "place-model", "place-embed", 918273645, 564738291


class _Places(Gateway):
    """A gateway of which nothing is known yet."""

    @property
    def output(self) -> int:
        return _OUTPUT


def render_tools() -> str:
    """The file's text."""
    return json.dumps([describe_tool(tool) for tool in TOOLS.values()], ensure_ascii=False, indent=1) + "\n"


def describe_tool(tool: Tool) -> dict[str, Any]:
    """What the page says of one tool; its parts twice where a model for vectors changes them."""
    model = Model(_MODEL, _CONTEXT)
    guide, with_vectors = (tool.build(_Places(_URL, model, embed)) for embed in ("", _EMBED))
    described: dict[str, Any] = {
        "name": tool.name,
        "title": tool.title,
        "checked": tool.checked,
        "checked_on": tool.checked_on,
        "obstacle": tool.obstacle,
        "needs_context": tool.needs_context,
        "needs_tools": tool.needs_tools,
        "parts": _list_parts(guide),
        "notes": [_put_places(note) for note in with_vectors.notes],
    }
    if (parts := _list_parts(with_vectors)) != described["parts"]:
        described["parts_with_vectors"] = parts
    return described


def _list_parts(guide: Guide) -> list[dict[str, str]]:
    """As ``list_parts`` orders them; headings are the page's own."""
    path = f"~/{guide.settings.path}" if guide.settings else ""
    kinds = ["shell"] * bool(guide.variables) + ["file"] * bool(path) + ["lines"] * bool(guide.text)
    texts = [text for _, text in list_parts(guide, path)]
    return [
        {"kind": kind, "path": path if kind == "file" else "", "text": _put_places(text)}
        for kind, text in zip(kinds, texts, strict=True)
    ]


def _put_places(text: str) -> str:
    assert "{{" not in text, text
    places = {
        _URL: "url",
        KEY: "key",
        _MODEL: "model",
        _EMBED: "embed",
        str(_CONTEXT): "context",
        str(_OUTPUT): "output",
    }
    for place, name in places.items():
        text = text.replace(place, f"{{{{{name}}}}}")
    return text


if __name__ == "__main__":
    sys.stdout.write(render_tools())
