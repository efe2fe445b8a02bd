"""A running stack with the demo model, and chat APIs in front of it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.chat_service import ChatApi, run_chat_api
from tests.integration.stack_site import Site


@pytest.fixture(scope="session")
def chat_site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """A stack of its own, whose gateway gives out keys, each test's under a name of its own."""
    site = Site.create(tmp_path_factory.mktemp("a site with a chat API"), CONTEXT_LENGTH="4096", INFERENCE_SLOTS="4")
    try:
        site.run("up")
        yield site
    finally:
        site.stop()


@pytest.fixture(scope="session")
def chat_api(chat_site: Site, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ChatApi]:
    """A service that keeps nothing, with a key of its own."""
    settings = {
        "GATEWAY_URL": chat_site.url,
        "GATEWAY_KEY": chat_site.keys["GATEWAY_KEY"],
        "DEFAULT_TEMPERATURE": "0",
    }
    with run_chat_api(tmp_path_factory.mktemp("chat-api"), settings) as running:
        yield running
