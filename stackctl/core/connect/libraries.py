"""Libraries and curl: lines that run as they are printed, with the key in ``STACK_KEY``. Pure."""

from __future__ import annotations

from stackctl.core.connect.values import KEY, Gateway, Guide

_KEY_FIRST = {"STACK_KEY": KEY}


def build_curl(gateway: Gateway) -> Guide:
    """One question."""
    text = f"""\
curl {gateway.openai_url}/chat/completions \\
  -H "Authorization: Bearer $STACK_KEY" -H "Content-Type: application/json" \\
  -d '{{"model": "{gateway.chat.name}", "messages": [{{"role": "user", "content": "Hello"}}]}}'
"""
    return Guide(variables=_KEY_FIRST, text=text)


def build_openai_python(gateway: Gateway) -> Guide:
    """A streamed answer."""
    text = f"""\
import os

from openai import OpenAI

client = OpenAI(base_url="{gateway.openai_url}", api_key=os.environ["STACK_KEY"])
stream = client.chat.completions.create(
    model="{gateway.chat.name}", messages=[{{"role": "user", "content": "Hello"}}], stream=True
)
for chunk in stream:
    for choice in chunk.choices:
        print(choice.delta.content or "", end="", flush=True)
print()
"""
    return Guide(variables=_KEY_FIRST, text=text)


def build_anthropic_python(gateway: Gateway) -> Guide:
    """A streamed answer."""
    text = f"""\
import os

from anthropic import Anthropic

client = Anthropic(base_url="{gateway.url}", auth_token=os.environ["STACK_KEY"])
with client.messages.stream(
    model="{gateway.chat.name}", max_tokens=256, messages=[{{"role": "user", "content": "Hello"}}]
) as stream:
    for text in stream.text_stream:
        print(text, end="", flush=True)
print()
"""
    return Guide(variables=_KEY_FIRST, text=text, notes=("The base URL has no /v1.",))


def build_openai_node(gateway: Gateway) -> Guide:
    """One question."""
    text = f"""\
import OpenAI from "openai";

const client = new OpenAI({{ baseURL: "{gateway.openai_url}", apiKey: process.env.STACK_KEY }});
const answer = await client.chat.completions.create({{
  model: "{gateway.chat.name}",
  messages: [{{ role: "user", content: "Hello" }}],
}});
console.log(answer.choices[0].message.content);
"""
    return Guide(variables=_KEY_FIRST, text=text)


def build_anthropic_node(gateway: Gateway) -> Guide:
    """One question."""
    text = f"""\
import Anthropic from "@anthropic-ai/sdk";

const client = new Anthropic({{ baseURL: "{gateway.url}", authToken: process.env.STACK_KEY }});
const answer = await client.messages.create({{
  model: "{gateway.chat.name}",
  max_tokens: 256,
  messages: [{{ role: "user", content: "Hello" }}],
}});
for (const block of answer.content) if (block.type === "text") console.log(block.text);
"""
    return Guide(variables=_KEY_FIRST, text=text, notes=("The base URL has no /v1.",))


def build_ai_sdk(gateway: Gateway) -> Guide:
    """One question."""
    text = f"""\
import {{ createOpenAICompatible }} from "@ai-sdk/openai-compatible";
import {{ generateText }} from "ai";

const stack = createOpenAICompatible({{
  name: "stack",
  baseURL: "{gateway.openai_url}",
  apiKey: process.env.STACK_KEY,
}});
const {{ text }} = await generateText({{ model: stack("{gateway.chat.name}"), prompt: "Hello" }});
console.log(text);
"""
    return Guide(
        variables=_KEY_FIRST,
        text=text,
        notes=(f"Its Anthropic provider wants the base URL with /v1: {gateway.openai_url}",),
    )


def build_langchain(gateway: Gateway) -> Guide:
    """A chat, and vectors where there is a model for them."""
    text = f"""\
import os

from langchain_openai import ChatOpenAI, OpenAIEmbeddings

stack = {{"base_url": "{gateway.openai_url}", "api_key": os.environ["STACK_KEY"]}}
chat = ChatOpenAI(model="{gateway.chat.name}", **stack)
print(chat.invoke("Hello").content)
"""
    if gateway.embed:
        text += f"""\
embeddings = OpenAIEmbeddings(model="{gateway.embed}", check_embedding_ctx_length=False, **stack)
print(len(embeddings.embed_query("Hello")))
"""
    notes = ("Without check_embedding_ctx_length=False it sends numbers of OpenAI's tokenizer instead of text.",)
    return Guide(variables=_KEY_FIRST, text=text, notes=notes if gateway.embed else ())


def build_langgraph(gateway: Gateway) -> Guide:
    """An agent with one tool."""
    text = f"""\
import os

from langchain.agents import create_agent
from langchain_openai import ChatOpenAI


def weather(city: str) -> str:
    \"\"\"The weather of a city.\"\"\"
    return f"It is sunny in {{city}}."


chat = ChatOpenAI(base_url="{gateway.openai_url}", api_key=os.environ["STACK_KEY"], model="{gateway.chat.name}")
agent = create_agent(chat, [weather])
print(agent.invoke({{"messages": [("user", "How is the weather in Seoul?")]}})["messages"][-1].content)
"""
    return Guide(
        variables=_KEY_FIRST, text=text, notes=("Its packages are langgraph, langchain and langchain-openai.",)
    )


def build_llamaindex(gateway: Gateway) -> Guide:
    """One question."""
    text = f"""\
import os

from llama_index.llms.openai_like import OpenAILike

chat = OpenAILike(
    model="{gateway.chat.name}",
    api_base="{gateway.openai_url}",
    api_key=os.environ["STACK_KEY"],
    is_chat_model=True,
    context_window={gateway.context},
)
print(chat.complete("Hello"))
"""
    if gateway.embed:
        text += f"""\

from llama_index.embeddings.openai_like import OpenAILikeEmbedding

vectors = OpenAILikeEmbedding(
    model_name="{gateway.embed}", api_base="{gateway.openai_url}", api_key=os.environ["STACK_KEY"]
)
print(len(vectors.get_text_embedding("Hello")))
"""
    note = "Its package is llama-index-llms-openai-like."
    if gateway.embed:
        note = "Its packages are llama-index-llms-openai-like and llama-index-embeddings-openai-like."
    return Guide(variables=_KEY_FIRST, text=text, notes=(note,))


def build_litellm(gateway: Gateway) -> Guide:
    """One question."""
    text = f"""\
import os

from litellm import completion

answer = completion(
    model="openai/{gateway.chat.name}",
    api_base="{gateway.openai_url}",
    api_key=os.environ["STACK_KEY"],
    messages=[{{"role": "user", "content": "Hello"}}],
)
print(answer.choices[0].message.content)
"""
    # Else it asks the internet for prices when it is imported: three tries, half a minute on a closed site.
    variables = {**_KEY_FIRST, "LITELLM_LOCAL_MODEL_COST_MAP": "True"}
    return Guide(variables=variables, text=text, notes=("The prefix openai/ says how it speaks.",))


def build_promptfoo(gateway: Gateway) -> Guide:
    """A provider of its configuration."""
    text = f"""\
# promptfooconfig.yaml
providers:
  - id: openai:chat:{gateway.chat.name}
    config:
      apiBaseUrl: {gateway.openai_url}
      apiKeyEnvar: STACK_KEY
"""
    # On a closed site each run would wait for what it reports to its maker.
    quiet = {"PROMPTFOO_DISABLE_TELEMETRY": "1", "PROMPTFOO_DISABLE_UPDATE": "1"}
    return Guide(variables={**_KEY_FIRST, **quiet}, text=text)
