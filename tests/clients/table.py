"""The versions of tools that worked: ``make test-clients`` writes them, for `stackctl connect` and the guide."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from stackctl.core.connect import verified
from stackctl.core.connect.show import render_table
from stackctl.core.connect.tools import TOOLS

CHECKOUT = Path(__file__).parents[2]
GUIDE = CHECKOUT / "docs" / "clients.md"
# What the gateway's page says of tools, and what writes that.
PAGE = CHECKOUT / "services" / "api-gateway" / "gateway" / "page" / "files" / "tools.json"
WRITER = CHECKOUT / "scripts" / "page_tools.py"
BEGIN, END = "<!-- make test-clients writes this table -->\n", "<!-- to here -->\n"

Known = Mapping[str, tuple[str, str]]


def read_table(text: str) -> str:
    """What stands between the two marks of the guide."""
    return text.partition(BEGIN)[2].partition(END)[0]


def render_module(source: str, known: Known) -> str:
    """The source of the module that holds the versions, with these."""
    head = source.partition("VERIFIED = ")[0]
    lines = [f'        "{tool}": ("{version}", "{day}"),\n' for tool, (version, day) in known.items()]
    return f"{head}VERIFIED = MappingProxyType(\n    {{\n{''.join(lines)}    }}\n)\n"


def render_guide(text: str, known: Known) -> str:
    """The guide with the table of what is known."""
    tools = (
        replace(tool, checked=known[name][0], checked_on=known[name][1]) if name in known else tool
        for name, tool in TOOLS.items()
    )
    before, _, rest = text.partition(BEGIN)
    return f"{before}{BEGIN}{render_table(tools)}{END}{rest.partition(END)[2]}"


def record(worked: Mapping[str, str], day: str) -> None:
    """Write that these tools worked, each at its version; of others nothing is changed."""
    merged = {**verified.VERIFIED, **{tool: (version, day) for tool, version in worked.items()}}
    known = {tool: merged[tool] for tool in TOOLS if tool in merged}
    for path, render in ((Path(verified.__file__), render_module), (GUIDE, render_guide)):
        path.write_text(render(path.read_text(encoding="utf-8"), known), encoding="utf-8")
    # Another process, which reads the module anew.
    done = subprocess.run([sys.executable, str(WRITER)], capture_output=True, text=True, check=True)
    PAGE.write_text(done.stdout, encoding="utf-8")
