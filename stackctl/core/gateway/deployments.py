"""What the gateway is configured with: one deployment for each served name, fallbacks and limits. Pure.

In: the models of our own engines, the providers' endpoints and `stack.yml`'s limits. Out: ``GatewayConfig``.
"""

from __future__ import annotations

from stackctl.core.gateway.config import NO_KEY, Deployment, GatewayConfig
from stackctl.core.gateway.providers import RemoteEndpoint
from stackctl.core.models.served import ServedModel
from stackctl.core.settings.settings import Settings
from stackctl.core.settings.stackfile import ModelLimits, StackFile

_NO_LIMITS = ModelLimits()


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
    return GatewayConfig(
        deployments=tuple(deployments),
        fallbacks=tuple((name, route.fallbacks) for name, route in sorted(stackfile.routes.items())),
        request_timeout_s=float(settings.gateway_request_timeout_s),
        num_retries=stackfile.limits.retries,
        log_prompts=settings.gateway_log_prompts,
    )


def _build_local(model: ServedModel, limits: ModelLimits) -> Deployment:
    return Deployment(
        served_name=model.served_name,
        model=f"hosted_vllm/{model.served_name}",
        api_base=f"os.environ/{model.url_variable}",
        api_key="os.environ/INFERENCE_API_KEY",
        mode=model.mode,
        context_length=model.context_length,
        max_output_tokens=model.context_length if model.mode == "chat" else None,
        # An engine closes kept-alive connections now and then; on a request's way that would be an error.
        fresh_connections=True,
        rpm=limits.requests_per_minute,
        tpm=limits.tokens_per_minute,
        max_parallel_requests=limits.parallel_requests,
    )


def _build_remote(endpoint: RemoteEndpoint, limits: ModelLimits) -> Deployment:
    return Deployment(
        served_name=endpoint.served_name,
        model=endpoint.litellm_model,
        api_base=f"os.environ/{endpoint.url_variable}" if endpoint.url else "",
        api_key=f"os.environ/{endpoint.key_variable}" if endpoint.key_variable else NO_KEY,
        mode=endpoint.mode,
        context_length=endpoint.context_length,
        max_output_tokens=None,
        rpm=limits.requests_per_minute,
        tpm=limits.tokens_per_minute,
        max_parallel_requests=limits.parallel_requests,
        headers=tuple((name, f"os.environ/{variable}") for name, variable in endpoint.headers),
    )
