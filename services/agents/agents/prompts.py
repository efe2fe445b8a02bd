"""The prompts: template files in each language, and what becomes of them. Does I/O: reads them once, at the start.

A person's text is a value that a template puts in as JSON, never a template itself, so that braces in it mean nothing
and where it ends is certain.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from agents.reading import Fault
from agents.settings import LANGUAGES, Language

# Of the folder that is used; what an answer says of itself. A change of words is a new folder.
VERSION = "v1"
AGENTS = ("analysis", "questions", "requirements")

_FOLDER = Path(__file__).parent / "prompts"


class Prompts:
    """All templates of one version, read and compiled."""

    def __init__(self, folder: Path = _FOLDER, version: str = VERSION) -> None:
        self.version = version
        self._environment = Environment(
            loader=FileSystemLoader(folder / version),
            undefined=StrictUndefined,
            autoescape=False,  # noqa: S701  # texts for a model, no page
            trim_blocks=True,
            lstrip_blocks=True,
            auto_reload=False,
        )
        self._environment.filters["as_json"] = _write_json
        for language in LANGUAGES:
            for name in ("system", "again", *AGENTS):
                self._environment.get_template(f"{language}/{name}.j2")

    def render_question(self, agent: str, language: Language, facts: Mapping[str, Any]) -> list[dict[str, str]]:
        """The messages that a call begins with.

        Args:
            facts: what the agent's template puts in.
        """
        return [
            {"role": "system", "content": self._render(language, "system")},
            {"role": "user", "content": self._render(language, agent, **facts)},
        ]

    def render_again(self, language: Language, faults: Sequence[Fault]) -> str:
        """What a model is told that gave no valid answer."""
        return self._render(language, "again", faults=[asdict(fault) for fault in faults])

    def _render(self, language: Language, name: str, **facts: Any) -> str:
        return self._environment.get_template(f"{language}/{name}.j2").render(facts).strip()


def _write_json(value: object) -> str:
    return json.dumps(value, ensure_ascii=False)
