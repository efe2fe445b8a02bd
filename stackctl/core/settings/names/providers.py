"""The providers that the names of `.env` describe, as `stack.yml` would. Pure.

In: the names' values. Out: for each provider the section of `stack.yml` that says the same. None of them is declared
to be in the building: that is never guessed from an address.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

from stackctl.core.settings.names.table import PLACES
from stackctl.core.settings.names.values import NamedValues
from stackctl.core.settings.stackfile import Provider, ProviderKind, RemoteModel, StackFile
from stackctl.errors import Finding

INTERNAL, OLLAMA, VLLM, MYCODER = "internal", "ollama", "vllm", "mycoder"
# What the document that has VLLM_BASE_URL serves; vLLM refuses a name that it does not serve.
_VLLM_MODEL = "Qwen/Qwen2.5-Coder-7B-Instruct"
_KEY = "MYCODER_OPENAI_API_KEY"
_OPENAI_HOST = "api.openai.com"
# Served names that mean something else; a provider's model that is called so keeps its usual name alone.
_OWN_NAMES = frozenset({"local-chat", "local-code", "local-embed", "engine-chat"})
_MADE_NAMES = frozenset({"internal-chat", "ollama-chat", "vllm-chat"})
_SERVED_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:/-]{0,127}")


def build_providers(names: NamedValues, stackfile: StackFile) -> dict[str, Provider]:
    """Every provider whose address is given, by its name; one whose model is not named has none."""
    values = names.values
    made: dict[str, Provider] = {}
    if values.internal_llm_base_url:
        made[INTERNAL] = _build_internal(names)
    if values.ollama_base_url:
        models = {"ollama-chat": RemoteModel(model=values.ollama_model)} if values.ollama_model else {}
        made[OLLAMA] = Provider(kind="ollama", api_base=values.ollama_base_url, models=models)
    if values.vllm_base_url:
        model = RemoteModel(model=values.vllm_model or _VLLM_MODEL)
        made[VLLM] = Provider(kind="vllm", api_base=values.vllm_base_url, models={"vllm-chat": model})
    if values.mycoder_openai_base_url:
        made[MYCODER] = _build_mycoder(names, stackfile)
    return made


def _build_internal(names: NamedValues) -> Provider:
    values = names.values
    base = values.internal_llm_base_url.rstrip("/")

    def name_given(name: str) -> str | None:
        return name if name in names.given else None

    return Provider(
        kind="internal",
        # The document writes the host alone; OpenAI's routes begin with /v1.
        api_base=base if "/" in base.partition("://")[2] else f"{base}/v1",
        api_key=name_given("INTERNAL_LLM_API_KEY"),
        ticket=name_given("INTERNAL_LLM_TICKET"),
        user_id=name_given("USER_ID"),
        user_type=name_given("USER_TYPE"),
        models={"internal-chat": RemoteModel(model=values.internal_llm_model)} if values.internal_llm_model else {},
    )


def _build_mycoder(names: NamedValues, stackfile: StackFile) -> Provider:
    values = names.values
    models = {
        "mycoder-chat": RemoteModel(model=values.mycoder_chat_model),
        "mycoder-embed": RemoteModel(model=values.mycoder_embedding_model, mode="embedding"),
    }
    models = {name: model for name, model in models.items() if model.model}
    # Under its own name too, by which the tool that has these variables asks for it.
    taken = (
        _OWN_NAMES
        | _MADE_NAMES
        | {*models, *stackfile.models, *(name for item in stackfile.providers.values() for name in item.models)}
    )
    for model in tuple(models.values()):
        if model.model not in taken and _SERVED_NAME.fullmatch(model.model):
            models.setdefault(model.model, model)
    return Provider(
        kind=_choose_kind(values.mycoder_openai_base_url),
        api_base=values.mycoder_openai_base_url,
        api_key=_KEY if _KEY in names.given | names.blank else None,
        models=models,
        min_interval_ms=values.mycoder_llm_min_interval_ms,
    )


def _choose_kind(address: str) -> ProviderKind:
    """OpenAI at its own address, which answers nobody without a key; else a server of OpenAI's format."""
    return "openai" if address.partition("://")[2].partition("/")[0] == _OPENAI_HOST else "openai-compatible"


def check_complete(names: NamedValues, made: Mapping[str, Provider]) -> Iterator[Finding]:
    """Check that each provider has a model, and OpenAI its key."""
    for name, provider in made.items():
        if not provider.models:
            address = PLACES[f"providers.{name}.api_base"]
            model = PLACES[f"providers.{name}.models.{name}-chat"]
            also = " (or MYCODER_EMBEDDING_MODEL)" if name == MYCODER else ""
            message = f"makes a provider, and its model, {model}{also}, is not set"
            yield Finding(address, message, f"add {model}=... to .env", file=".env")
        if provider.kind == "openai" and _KEY not in names.given:
            message = f"is not set, and {_OPENAI_HOST} answers nobody without a key"
            yield Finding(_KEY, message, f"add {_KEY}=... to .env", file=".env")
