"""What tests of the gateway's formats share: engines that really call tools and think."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.demo_templates import THINKING, TOOLS, write_demo_model
from tests.integration.stack_site import Site


@pytest.fixture(scope="session")
def tools_site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """A stack with the demo model, one that calls tools and one that thinks."""
    site = Site.create(tmp_path_factory.mktemp("tools"))
    (site.path / "models").mkdir(exist_ok=True)
    write_demo_model(site.path / "models" / "tools.gguf", TOOLS)
    write_demo_model(site.path / "models" / "thinking.gguf", THINKING)
    (site.path / "stack.yml").write_text(
        "version: 1\nmodels:\n  local-tools: {file: tools.gguf, slots: 1}\n"
        "  local-thinking: {file: thinking.gguf, slots: 1}\n"
    )
    try:
        site.run("up")
        yield site
    finally:
        site.stop()
