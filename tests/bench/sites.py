"""The site that is measured: its commands, its plan, and what its chat model is asked."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from stackctl.cli.console import Progress
from stackctl.cli.world.effects import build_effects
from stackctl.core.stack.runtime import StartPlan
from stackctl.operations.site.load import load_site
from stackctl.operations.site.render import build_plan, render_site

STACKCTL = str(Path(sys.executable).with_name("stackctl"))


def run_stackctl(site: Path, command: str, **environment: str) -> None:
    """Run a command at the site; it must succeed."""
    subprocess.run([STACKCTL, "--site", str(site), command], check=True, capture_output=True,
                   env={**os.environ, **environment})  # fmt: skip


def build_site_plan(site: Path, settings: Mapping[str, str]) -> StartPlan:
    """What ``up`` would start with these settings in the environment."""
    effects = build_effects(site, settings, Progress())
    loaded = load_site(effects)
    return build_plan(loaded, render_site(effects, loaded), "process", "none")


def build_body(model: str, tokens: int, *, stream: bool) -> dict[str, Any]:
    """A question that the demo model answers at length, or in a word."""
    known = json.loads((Path(__file__).resolve().parents[2] / "models" / "demo.json").read_text())["answers"]
    longest = max(known, key=lambda item: len(item["answer"]))
    question = longest["question"] if tokens > 16 else known[0]["question"]
    return {"model": model, "messages": [{"role": "user", "content": question}], "temperature": 0,
            "max_tokens": tokens, "stream": stream}  # fmt: skip
