"""What tests of the gateway's formats share: engines that really call tools and think."""

from __future__ import annotations

from collections.abc import Iterator

import anthropic
import openai
import pytest

from tests.integration.stack_site import DEADLINE_S, Site
from tests.tool_model import ToolModel

# Few slots, so that requests have to wait.
SLOTS = 2
# More than an answer without end fills while a test looks at it.
CONTEXT = 131_072


@pytest.fixture(scope="session")
def calling_site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """``local-chat`` calls tools, ``local-code`` thinks before it does; tests leave it as they found it."""
    folder = tmp_path_factory.mktemp("models that call tools")
    ToolModel(thinks=False).write(folder / "tools.gguf")
    ToolModel(thinks=True).write(folder / "thinks.gguf")
    site = Site.create(
        tmp_path_factory.mktemp("a site with tools"),
        MODELS_DIR=str(folder),
        CHAT_MODEL="tools.gguf",
        CODE_MODEL="thinks.gguf",
        CONTEXT_LENGTH=str(CONTEXT),
        INFERENCE_SLOTS=str(SLOTS),
        INFERENCE_THREADS="1",
    )
    try:
        site.run("up")
        yield site
    finally:
        site.stop()


@pytest.fixture(scope="session")
def openai_client(calling_site: Site) -> Iterator[openai.OpenAI]:
    """OpenAI's client of that stack."""
    with openai.OpenAI(
        base_url=f"{calling_site.url}/v1", api_key=calling_site.keys["GATEWAY_KEY"], timeout=DEADLINE_S, max_retries=0
    ) as client:
        yield client


@pytest.fixture(scope="session")
def anthropic_client(calling_site: Site) -> Iterator[anthropic.Anthropic]:
    """Anthropic's client of that stack."""
    with anthropic.Anthropic(
        base_url=calling_site.url, api_key=calling_site.keys["GATEWAY_KEY"], timeout=DEADLINE_S, max_retries=0
    ) as client:
        yield client
