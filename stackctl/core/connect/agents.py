"""Agents of the terminal: their files and variables. Pure."""

from __future__ import annotations

import json

from stackctl.core.connect.values import KEY, Gateway, Guide, Settings


def build_claude_code(gateway: Gateway) -> Guide:
    """Its settings hold variables; without the three names it asks for models that only Anthropic has."""
    name = gateway.chat.name
    slots = ("ANTHROPIC_DEFAULT_OPUS_MODEL", "ANTHROPIC_DEFAULT_SONNET_MODEL", "ANTHROPIC_DEFAULT_HAIKU_MODEL")
    variables = {
        "ANTHROPIC_BASE_URL": gateway.url,
        "ANTHROPIC_AUTH_TOKEN": KEY,
        "ANTHROPIC_MODEL": name,
        **dict.fromkeys(slots, name),
        "CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC": "1",
    }
    return Guide(
        Settings(".claude/settings.json", "json", {"env": variables}),
        notes=("The base URL has no /v1.", "The last variable stops what would reach out from a closed site."),
    )


def build_codex(gateway: Gateway) -> Guide:
    """It speaks the Responses format only."""
    provider = {
        "name": "stack",
        "base_url": gateway.openai_url,
        "wire_api": "responses",
        "experimental_bearer_token": KEY,
    }
    values = {
        "model": gateway.chat.name,
        "model_provider": "stack",
        "model_context_window": gateway.context,
        "model_providers": {"stack": provider},
    }
    return Guide(
        Settings(".codex/config.toml", "toml", values),
        notes=("It warns that it has no metadata of the model; model_context_window is what it would take from them.",),
    )


def build_opencode(gateway: Gateway) -> Guide:
    """Without a limit it asks again and again when its prompt is too long."""
    model = {"name": gateway.chat.name, "limit": {"context": gateway.context, "output": gateway.output}}
    provider = {
        "npm": "@ai-sdk/openai-compatible",
        "name": "stack",
        "options": {"baseURL": gateway.openai_url, "apiKey": KEY},
        "models": {gateway.chat.name: model},
    }
    chosen = f"stack/{gateway.chat.name}"
    values = {
        "$schema": "https://opencode.ai/config.json",
        "model": chosen,
        "small_model": chosen,
        "autoupdate": False,
        "share": "disabled",
        "provider": {"stack": provider},
    }
    return Guide(
        Settings(".config/opencode/opencode.json", "json", values),
        notes=(
            "limit.context has to be there: without it a prompt that is too long is sent for ever.",
            "On a closed site export OPENCODE_DISABLE_MODELS_FETCH=1 and OPENCODE_DISABLE_AUTOUPDATE=1.",
        ),
    )


def build_qwen_code(gateway: Gateway) -> Guide:
    """Its settings hold the model, its context and the variable that the key stands in."""
    model = {
        "id": gateway.chat.name,
        "name": gateway.chat.name,
        "baseUrl": gateway.openai_url,
        "envKey": "STACK_KEY",
        "generationConfig": {
            "contextWindowSize": gateway.context,
            "samplingParams": {"max_tokens": gateway.output},
        },
    }
    values = {
        "modelProviders": {"openai": [model]},
        "env": {"STACK_KEY": KEY},
        "security": {"auth": {"selectedType": "openai"}},
        "model": {"name": gateway.chat.name},
        "general": {"enableAutoUpdate": False},
        "privacy": {"usageStatisticsEnabled": False},
    }
    return Guide(
        Settings(".qwen/settings.json", "json", values),
        notes=("contextWindowSize has to be there: of a model that it does not know it supposes another.",),
    )


def build_aider(gateway: Gateway) -> Guide:
    """The name needs LiteLLM's prefix."""
    values = {
        "model": f"openai/{gateway.chat.name}",
        "openai-api-base": gateway.openai_url,
        "openai-api-key": KEY,
        "check-update": False,
        "analytics-disable": True,
        "show-model-warnings": False,
        "show-release-notes": False,
    }
    metadata = {
        "litellm_provider": "openai",
        "mode": "chat",
        "max_input_tokens": gateway.context,
        "max_output_tokens": gateway.output,
    }
    text = json.dumps({f"openai/{gateway.chat.name}": metadata}, indent=2)
    return Guide(
        Settings(".aider.conf.yml", "yaml", values),
        text=f"// .aider.model.metadata.json, in your home\n{text}\n",
        notes=(
            "The prefix openai/ says how aider speaks; the gateway sees the name behind it.",
            "With the second file aider knows the context, and does not look for the model's prices in the internet.",
        ),
    )


def build_goose(gateway: Gateway) -> Guide:
    """It takes the host and the path apart."""
    return Guide(
        variables={
            "GOOSE_PROVIDER": "openai",
            "GOOSE_MODEL": gateway.chat.name,
            "OPENAI_HOST": gateway.url,
            "OPENAI_BASE_PATH": "v1/chat/completions",
            "OPENAI_API_KEY": KEY,
        },
    )


def build_crush(gateway: Gateway) -> Guide:
    """It wants the sizes of each model."""
    model = {
        "id": gateway.chat.name,
        "name": gateway.chat.name,
        "context_window": gateway.context,
        "default_max_tokens": gateway.output,
    }
    provider = {"type": "openai-compat", "base_url": gateway.openai_url, "api_key": KEY, "models": [model]}
    return Guide(Settings(".config/crush/crush.json", "json", {"providers": {"stack": provider}}))


def build_pi(gateway: Gateway) -> Guide:
    """It lists its own models in a file."""
    model = {"id": gateway.chat.name, "contextWindow": gateway.context, "maxTokens": gateway.output}
    provider = {
        "baseUrl": gateway.openai_url,
        "api": "openai-completions",
        "apiKey": KEY,
        "models": [model],
    }
    return Guide(
        Settings(".pi/agent/models.json", "json", {"providers": {"stack": provider}}),
        notes=(f"Start it with: pi --provider stack --model {gateway.chat.name}",),
    )


def build_llm(gateway: Gateway) -> Guide:
    """Its file is a list, which other programs may have written too."""
    text = f"""\
# extra-openai-models.yaml, in the folder that `dirname "$(llm logs path)"` prints
- model_id: {gateway.chat.name}
  model_name: {gateway.chat.name}
  api_base: {gateway.openai_url}
  api_key_name: stack
"""
    if gateway.chat.tools:
        text += "  supports_tools: true\n"
    return Guide(
        text=text,
        notes=("Then 'llm keys set stack' asks for the key, and 'llm -m " + gateway.chat.name + " hello' answers.",),
    )
