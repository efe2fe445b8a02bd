"""Render the golden cases as a machine of values does, so that every machine gets the same bytes.

As a program it prints a digest of each case's files, for the test that another hash seed changes nothing.
"""

from __future__ import annotations

import hashlib
import sys
from functools import cache
from pathlib import Path

from stackctl.core.site.loaded_site import LoadedSite
from stackctl.core.stack.render import RenderedFiles
from stackctl.operations.site.load import load_site
from stackctl.operations.site.render import render_site
from tests.fakes import World

CASES = Path(__file__).parent / "cases"
NAMES = sorted(path.name for path in CASES.iterdir())


def load_world(name: str) -> World:
    """The machine of one case."""
    stack = CASES / name / "stack.yml"
    return World((CASES / name / ".env").read_text(), stack.read_text() if stack.is_file() else "")


@cache
def load_case(name: str) -> tuple[LoadedSite, RenderedFiles]:
    """The site of one case, and what is rendered for it."""
    world = load_world(name)
    loaded = load_site(world.effects)
    return loaded, render_site(world.effects, loaded)


def load_expected(name: str) -> dict[str, str]:
    """The files that one case must render to."""
    return {path.name: path.read_text(encoding="utf-8") for path in (CASES / name / "expected").iterdir()}


def hash_case(name: str) -> str:
    """A digest of all rendered files of one case."""
    _, rendered = load_case(name)
    return hashlib.sha256(repr(list(rendered.files.items())).encode()).hexdigest()


if __name__ == "__main__":
    sys.stdout.write("\n".join(hash_case(name) for name in NAMES))
