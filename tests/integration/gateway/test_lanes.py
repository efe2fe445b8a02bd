"""Tools through every lane to a provider: a second gateway asks the first, as OpenAI's server and as Anthropic's."""

from __future__ import annotations

from collections.abc import Iterator

import anthropic
import openai
import pytest

from tests.integration.gateway.tool_clients import ChatClient, MessagesClient, ResponsesClient, ToolClient
from tests.integration.stack_site import DEADLINE_S, Site
from tests.tool_model import ANSWER, THOUGHT

QUESTION = [{"role": "user", "content": "What is the weather like?"}]


@pytest.fixture(scope="module")
def front(calling_site: Site, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """A second stack, whose providers are the first one's gateway, in OpenAI's format and in Anthropic's."""
    site = Site.create(
        tmp_path_factory.mktemp("front"), EMBEDDING_MODEL="none", BEHIND_KEY=calling_site.keys["GATEWAY_KEY"]
    )
    (site.path / "stack.yml").write_text(
        f"""version: 1
providers:
  anthropic-behind:
    {{kind: anthropic, api_base: "{calling_site.url}", api_key: BEHIND_KEY, local: true,
     models: {{through-anthropic: {{model: local-code}}}}}}
  openai-behind:
    {{kind: openai-compatible, api_base: "{calling_site.url}/v1", api_key: BEHIND_KEY, local: true,
     models: {{through-openai: {{model: local-code}}}}}}
""",
        encoding="utf-8",
    )
    try:
        site.run("up")
        yield site
    finally:
        site.stop()


@pytest.fixture(params=["chat", "responses", "messages"])
def client(request: pytest.FixtureRequest, front: Site) -> Iterator[ToolClient]:
    """A client of the second stack in each format."""
    key = front.keys["GATEWAY_KEY"]
    if request.param == "messages":
        with anthropic.Anthropic(base_url=front.url, api_key=key, timeout=DEADLINE_S, max_retries=0) as messages:
            yield MessagesClient(messages)
        return
    with openai.OpenAI(base_url=f"{front.url}/v1", api_key=key, timeout=DEADLINE_S, max_retries=0) as chats:
        yield ChatClient(chats) if request.param == "chat" else ResponsesClient(chats)


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])
@pytest.mark.parametrize("model", ["through-openai", "through-anthropic"])
def test_a_tool_is_called_and_its_result_answered(client: ToolClient, model: str, stream: bool) -> None:
    called = client.ask(QUESTION, model=model, stream=stream, choice="clock")

    assert (called.model, called.text, called.thought.strip()) == (model, "", THOUGHT)
    assert [(call.name, call.arguments) for call in called.calls] == [("clock", {})]

    turns = [*QUESTION, *called.kept, *client.write_results(called.calls, "noon")]
    told = client.ask(turns, model=model, stream=stream)

    assert (told.model, told.text, told.thought.strip(), told.calls) == (model, ANSWER, THOUGHT, ())
    assert client.ask(QUESTION, model=model, stream=stream, choice="none").text == ANSWER
