"""A site whose models call tools: ``local-chat``, and ``local-code``, which thinks before it does."""

from __future__ import annotations

from pathlib import Path

from tests.integration.stack_site import Site
from tests.tool_model import ToolModel

# Few slots, so that requests have to wait.
SLOTS = 2
# What coding agents need, and more than an answer without end fills while a test looks at it.
CONTEXT = 131_072


def create_calling_site(models: Path, folder: Path) -> Site:
    """Make the models and the site, which is not started."""
    ToolModel(thinks=False).write(models / "tools.gguf")
    ToolModel(thinks=True).write(models / "thinks.gguf")
    return Site.create(
        folder,
        MODELS_DIR=str(models),
        CHAT_MODEL="tools.gguf",
        CODE_MODEL="thinks.gguf",
        CONTEXT_LENGTH=str(CONTEXT),
        INFERENCE_SLOTS=str(SLOTS),
    )
