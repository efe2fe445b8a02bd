"""Editors and web interfaces: their files, or what is typed into their windows. Pure."""

from __future__ import annotations

import json

from stackctl.core.connect.values import KEY, Gateway, Guide, Settings


def build_continue(gateway: Gateway) -> Guide:
    """Its file is refused without the first three fields; in an editor it knows no authority but those it is told."""
    trusting = {"requestOptions": {"caBundlePath": gateway.authority}} if gateway.authority else {}
    model = {
        "name": gateway.chat.name,
        "provider": "openai",
        "model": gateway.chat.name,
        "apiBase": gateway.openai_url,
        "apiKey": KEY,
        "roles": ["chat", "edit", "apply"],
        "defaultCompletionOptions": {"contextLength": gateway.context, "maxTokens": gateway.output},
        # Of a name that it does not know it supposes that no tools can be called, and then offers no agent.
        **({"capabilities": ["tool_use"]} if gateway.chat.tools else {}),
        **trusting,
    }
    embed = {
        "name": gateway.embed,
        "provider": "openai",
        "model": gateway.embed,
        "apiBase": gateway.openai_url,
        "apiKey": KEY,
        "roles": ["embed"],
        **trusting,
    }
    models = [model, *([embed] if gateway.embed else [])]
    values = {"name": "stack", "version": "1.0.0", "schema": "v1", "models": models}
    return Guide(
        Settings(".continue/config.yaml", "yaml", values),
        notes=("The same file serves VS Code, JetBrains and its own command line.",),
    )


def build_cline(gateway: Gateway) -> Guide:
    """The file is its command line's; the extension is set in its own window."""
    provider = {
        "provider": "openai-compatible",
        "apiKey": KEY,
        "baseUrl": gateway.openai_url,
        "model": gateway.chat.name,
        "contextWindow": gateway.context,
        "maxTokens": gateway.output,
    }
    # It refuses an entry that does not say where its key came from, and when.
    entry = {"settings": provider, "updatedAt": "2026-01-01T00:00:00.000Z", "tokenSource": "manual"}
    values = {
        "version": 1,
        "lastUsedProvider": "openai-compatible",
        "modes": {},
        "providers": {"openai-compatible": entry},
    }
    text = f"""\
API Provider:    OpenAI Compatible
Base URL:        {gateway.openai_url}
API Key:         {KEY}
Model ID:        {gateway.chat.name}
Context Window:  {gateway.context}
Max Output:      {gateway.output}
Supports Images: off
"""
    return Guide(
        Settings(".cline/data/settings/providers.json", "json", values),
        text=text,
        notes=(
            "The file is that of Cline's command line; in VS Code, set the lines below it in Cline's own window.",
            "Context Window has to be set: Cline counts with 128,000 tokens otherwise.",
        ),
    )


def build_copilot(gateway: Gateway) -> Guide:
    """Its list of models is opened from its own window, which also takes the key."""
    model = {
        "id": gateway.chat.name,
        "name": gateway.chat.name,
        "url": f"{gateway.openai_url}/chat/completions",
        "toolCalling": gateway.chat.tools is not False,
        "vision": False,
        "maxInputTokens": gateway.context - gateway.output,
        "maxOutputTokens": gateway.output,
    }
    provider = {"name": "stack", "vendor": "customendpoint", "apiType": "chat-completions", "models": [model]}
    text = f"""\
Command palette: Chat: Manage Language Models, Add Models, Custom Endpoint
Group name:      stack
API key:         {KEY}
API type:        Chat Completions
Then, in the file chatLanguageModels.json that opens, beside the "apiKey" that it wrote:
{json.dumps([provider], indent=2)}
"""
    return Guide(
        text=text,
        notes=(
            "VS Code 1.122 or newer; nobody has to sign in to GitHub for it.",
            "url is the whole address. Completions while typing stay GitHub's: in VS Code, Continue asks the gateway.",
        ),
    )


def build_zed(gateway: Gateway) -> Guide:
    """Its settings may hold comments; the key is asked for in its window."""
    model = {
        "name": gateway.chat.name,
        "display_name": gateway.chat.name,
        "max_tokens": gateway.context,
        "max_output_tokens": gateway.output,
    }
    provider = {"api_url": gateway.openai_url, "available_models": [model]}
    values = {
        "language_models": {"openai_compatible": {"stack": provider}},
        "agent": {"default_model": {"provider": "stack", "model": gateway.chat.name}},
    }
    return Guide(
        Settings(".config/zed/settings.json", "json", values),
        notes=(
            "Zed asks for the key itself: Agent Settings, LLM Providers, stack. Or export STACK_API_KEY before it.",
        ),
    )


def build_jetbrains(gateway: Gateway) -> Guide:
    """It is set in its own window."""
    text = f"""\
Settings, Tools, AI Assistant, Providers & API keys; under Third-party AI providers:
Provider: OpenAI-compatible
URL:      {gateway.openai_url}
API key:  {KEY}
Then choose {gateway.chat.name} for the features that may use a local model.
"""
    return Guide(text=text)


def build_cursor(gateway: Gateway) -> Guide:
    """Its requests come from its maker's servers."""
    text = f"""\
Settings, Models, OpenAI API Key: {KEY}
Override OpenAI Base URL:         an address that the internet reaches, ending in /v1
Add model:                        {gateway.chat.name}
"""
    return Guide(
        text=text,
        notes=(
            f"Cursor's own servers send the requests, so {gateway.url} cannot be reached from there: nothing in a "
            "private network can.",
            "Code leaves the building with it. In the same editor, the extensions Continue and Cline ask the gateway "
            "directly: 'stackctl connect continue'.",
        ),
    )


def build_open_webui(gateway: Gateway) -> Guide:
    """It is configured by variables."""
    return Guide(
        variables={
            "OPENAI_API_BASE_URL": gateway.openai_url,
            "OPENAI_API_KEY": KEY,
            "ENABLE_OLLAMA_API": "false",
            "OFFLINE_MODE": "true",
        },
        notes=(
            "In a container on this machine, loopback is the container's own: give it the host's network.",
            "What was once saved in its administrator's window wins over these variables.",
        ),
    )


def build_librechat(gateway: Gateway) -> Guide:
    """An endpoint of its own in its file, the key in its environment."""
    text = f"""\
# librechat.yaml; STACK_KEY stands in its .env
version: 1.2.1
endpoints:
  custom:
    - name: stack
      apiKey: "${{STACK_KEY}}"
      baseURL: "{gateway.openai_url}"
      models:
        default: ["{gateway.chat.name}"]
        fetch: true
      titleConvo: true
      titleModel: "{gateway.chat.name}"
"""
    return Guide(text=text, variables={"STACK_KEY": KEY})
