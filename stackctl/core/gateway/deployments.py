"""What the gateway is configured with: deployments, the servers behind them, and what is tried for each name. Pure.

In: the models of our own engines, the providers' endpoints and `stack.yml`'s routes and limits. Out: ``GatewayConfig``.
"""

from __future__ import annotations

from dataclasses import replace
from hashlib import sha256
from pathlib import PurePosixPath
from typing import Any

from stackctl.core.gateway.config import NO_KEY, Deployment, GatewayConfig, GatewayProvider
from stackctl.core.gateway.providers import RemoteEndpoint, build_provider
from stackctl.core.gateway.routes import build_aliases, build_routes
from stackctl.core.gateway.timeouts import choose_engine_timeouts
from stackctl.core.models.served import ServedModel
from stackctl.core.settings.settings import Settings
from stackctl.core.settings.stackfile import ContentLog, ModelLimits, StackFile

_NO_LIMITS = ModelLimits()
_PROJECTOR_ARGUMENTS = ("--mmproj", "-mm", "--mmproj-url", "-mmu")
_PROJECTOR_VARIABLES = ("LLAMA_ARG_MMPROJ", "LLAMA_ARG_MMPROJ_URL")


def build_gateway_config(
    settings: Settings,
    stackfile: StackFile,
    models: tuple[ServedModel, ...],
    endpoints: tuple[RemoteEndpoint, ...],
) -> GatewayConfig:
    """Build the configuration; addresses and keys are names of variables, so that one text serves both runtimes."""
    limits = stackfile.limits.models
    deployments = [_build_local(model, limits.get(model.served_name, _NO_LIMITS)) for model in models]
    deployments += [_build_remote(item, limits.get(item.served_name, _NO_LIMITS)) for item in endpoints]
    timeout_s = settings.gateway_request_timeout_s
    remote = {item.provider: item for item in endpoints}
    return GatewayConfig(
        deployments=tuple(deployments),
        providers=(
            *(_build_engine(model, timeout_s) for model in models),
            *(build_provider(name, stackfile.providers[name], item, timeout_s) for name, item in remote.items()),
        ),
        routes=build_routes(stackfile, tuple(item.served_name for item in deployments), timeout_s),
        aliases=build_aliases(stackfile),
        request_timeout_s=float(timeout_s),
        num_retries=stackfile.limits.retries,
        formats=tuple(settings.gateway_formats.split(",")),
        has_embeddings=settings.gateway_embeddings,
        queue_length=settings.gateway_queue_length,
        queue_wait_s=settings.gateway_queue_wait_s,
        cors_origins=tuple(filter(None, settings.gateway_cors_origins.split(","))),
        log_prompts=settings.gateway_log_prompts,
        content_log=_build_content_log(stackfile.content_log),
        cache_mb=stackfile.cache.size_mb,
    )


def _build_content_log(rules: ContentLog) -> dict[str, Any]:
    if rules == ContentLog():
        return {}
    return {"keep_days": rules.keep_days, "keep_mb": rules.keep_mb, "masks": dict(rules.mask)}


def limit_slots(config: GatewayConfig, other: GatewayConfig) -> GatewayConfig:
    """The configuration with the slots that each engine has in both runtimes, since one text serves both.

    They differ only where the process runtime falls back to an engine that answers one request at a time.
    """
    slots = {provider.name: provider.slots for provider in other.providers}
    providers = tuple(
        replace(item, slots=min(item.slots, slots[item.name] or item.slots)) if item.slots is not None else item
        for item in config.providers
    )
    return replace(config, providers=providers)


def _build_engine(model: ServedModel, timeout_s: float) -> GatewayProvider:
    return GatewayProvider(
        name=model.service,
        kind="vllm-engine" if model.is_vllm else "engine",
        is_local=True,
        timeouts=choose_engine_timeouts(timeout_s),
        slots=model.slots,
        # An engine closes kept-alive connections now and then; on a request's way that would be an error.
        fresh_connections=True,
    )


def _build_local(model: ServedModel, limits: ModelLimits) -> Deployment:
    is_chat = model.mode == "chat"
    return Deployment(
        served_name=model.served_name,
        model=f"hosted_vllm/{model.served_name}",
        api_base=f"os.environ/{model.url_variable}",
        api_key="os.environ/INFERENCE_API_KEY",
        mode=model.mode,
        provider=model.service,
        context_length=model.context_length,
        max_output_tokens=model.context_length if is_chat else None,
        rpm=limits.requests_per_minute,
        tpm=limits.tokens_per_minute,
        max_parallel_requests=limits.parallel_requests,
        takes_tools=model.takes_tools if is_chat else None,
        takes_images=_find_images(model) if is_chat else None,
        revision=_describe_revision(model),
    )


def _describe_revision(model: ServedModel) -> str:
    """What changes with the model's files and its engine's arguments, so that kept answers are not of others.

    Files of another content under the same name and of the same size are not told apart.
    """
    names = [PurePosixPath(shard).name for shard in model.shards]
    header = model.header
    facts = (names, model.size_bytes, header.name, header.quantisation, model.context_length, model.arguments)
    return sha256(repr((*facts, model.tool_call_parser)).encode()).hexdigest()[:16]


def _find_images(model: ServedModel) -> bool | None:
    """Whether the engine was given a projector, without which it refuses every image; not known of vLLM's models."""
    if model.is_vllm:
        return None
    return model.has_argument(_PROJECTOR_ARGUMENTS) or any(name in model.environment for name in _PROJECTOR_VARIABLES)


def _build_remote(endpoint: RemoteEndpoint, limits: ModelLimits) -> Deployment:
    return Deployment(
        served_name=endpoint.served_name,
        model=endpoint.litellm_model,
        api_base=f"os.environ/{endpoint.url_variable}" if endpoint.url else "",
        api_key=f"os.environ/{endpoint.key_variable}" if endpoint.key_variable else NO_KEY,
        mode=endpoint.mode,
        provider=endpoint.provider,
        context_length=endpoint.context_length,
        max_output_tokens=None,
        rpm=limits.requests_per_minute,
        tpm=limits.tokens_per_minute,
        max_parallel_requests=limits.parallel_requests,
        headers=tuple((name, f"os.environ/{variable}") for name, variable in endpoint.headers),
    )
