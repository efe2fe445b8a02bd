"""What tests of the gateway's formats share: engines that really call tools and think."""

from __future__ import annotations

from collections.abc import Iterator

import anthropic
import openai
import pytest

from tests.integration.gateway.calling_site import create_calling_site
from tests.integration.stack_site import DEADLINE_S, Site


@pytest.fixture(scope="session")
def calling_site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """A stack with models of the tests' own that call tools for real; tests leave it as they found it."""
    site = create_calling_site(tmp_path_factory.mktemp("models that call tools"), tmp_path_factory.mktemp("calling"))
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
