"""The services of a stack in one runtime, from the one value that says what it is. Pure.

In: ``Stack`` and the runtime's ``RuntimePaths``. Out: ``Service`` values, engines first and the gateway last.
"""

from __future__ import annotations

from stackctl.core.apps.app import AppService
from stackctl.core.apps.catalog import link_apps, list_app_services
from stackctl.core.models.served import ServedModel
from stackctl.core.settings.engine_environment import list_references, list_values
from stackctl.core.settings.settings import default_value
from stackctl.core.stack.engine_start import build_engine_start
from stackctl.core.stack.names import GATEWAY
from stackctl.core.stack.stack import CONTAINER_CA_BUNDLE, INGRESS, RuntimePaths, Service, Stack
from stackctl.errors import ConfigError

GATEWAY_START_S = 120.0
INGRESS_START_S = 10.0


def build_services(stack: Stack, paths: RuntimePaths, config_digest: str, relay_digest: str) -> tuple[Service, ...]:
    """The services of a stack in one runtime, engines first and the gateway last.

    Args:
        config_digest: digest of the rendered gateway configuration; part of the gateway's environment, so that a
            changed configuration is a changed service.
        relay_digest: digest of the ingress's program, which is part of the ingress's environment likewise.
    """
    engines = tuple(_build_engine_service(stack, model, paths) for model in stack.models)
    listed = list_app_services(stack.settings, paths.apps)
    apps = tuple(_build_app_service(item) for item in listed)
    ingress = (_build_ingress_service(stack, listed, relay_digest),) if paths.runtime == "compose" else ()
    return (*engines, *apps, *ingress, _build_gateway_service(stack, paths, config_digest))


def _build_app_service(app: AppService) -> Service:
    return Service(
        name=app.name,
        port=app.port,
        arguments=("/bin/sh", "-c", app.script),
        environment=app.environment,
        secrets=app.secrets,
        health_path="",
        ready_timeout_s=app.ready_timeout_s,
        app=app,
    )


def _build_engine_service(stack: Stack, model: ServedModel, paths: RuntimePaths) -> Service:
    start = build_engine_start(stack.settings, stack.engine, model, paths)
    references = list_references(model.environment)
    # What the operator names in .env takes the place of ours: a variable stands once in what is rendered.
    kept = {name: value for name, value in start.environment.items() if name not in references}
    return Service(
        name=model.service,
        port=model.port,
        arguments=start.arguments,
        environment=kept | list_values(model.environment),
        secrets=references | {start.key_variable: "INFERENCE_API_KEY"},
        health_path=start.health_path,
        ready_timeout_s=start.ready_timeout_s,
        model=model,
        key_variable=start.key_variable,
    )


def _build_gateway_service(stack: Stack, paths: RuntimePaths, config_digest: str) -> Service:
    link = link_apps(stack.settings, paths.apps)
    environment = _build_gateway_environment(stack, paths, config_digest) | dict(link.environment)
    if taken := sorted(environment.keys() & set(stack.variables)):
        message = f"A provider in stack.yml takes a secret from {taken[0]}, which tells the gateway something else."
        raise ConfigError(message, "give the secret a name of its own in .env and in stack.yml")
    own = {"GATEWAY_ADMIN_KEY", "GATEWAY_KEY", "INFERENCE_API_KEY"}
    if stack.settings.gateway_cache_key and stack.gateway.has_cache:
        own.add("GATEWAY_CACHE_KEY")
    own |= {"GATEWAY_DATABASE_URL"} if stack.settings.gateway_database_url else set()
    own |= {"GATEWAY_REDIS_PASSWORD"} if stack.settings.gateway_redis_password else set()
    return Service(
        name=GATEWAY,
        port=stack.settings.api_gateway_port,
        arguments=paths.gateway_command,
        environment=environment,
        secrets={name: name for name in sorted(own | set(stack.variables))} | dict(link.secrets),
        health_path="/health/readiness",
        ready_timeout_s=GATEWAY_START_S,
    )


def _build_gateway_environment(stack: Stack, paths: RuntimePaths, config_digest: str) -> dict[str, str]:
    settings = stack.settings
    in_container = paths.runtime == "compose"
    environment = {
        # Published on BIND_ADDRESS by Docker; inside, every address of the container's own.
        "GATEWAY_HOST": "0.0.0.0" if in_container else settings.bind_address,  # noqa: S104
        "GATEWAY_PORT": str(settings.api_gateway_port),
        "GATEWAY_CONFIG": paths.gateway_config,
        "GATEWAY_CONFIG_DIGEST": config_digest,
        "GATEWAY_WORKERS": str(settings.gateway_workers),
        "GATEWAY_LOG_PROMPTS": str(settings.gateway_log_prompts).lower(),
        "GATEWAY_STATE": paths.gateway_state,
        "GATEWAY_STATE_REQUIRED": str(settings.gateway_state_required).lower(),
        "GATEWAY_USAGE_DAYS": str(settings.gateway_usage_days),
        "HOME": paths.scratch,
    }
    if settings.gateway_hosts:
        environment["GATEWAY_HOSTS"] = settings.gateway_hosts
    if settings.gateway_log_level != default_value("GATEWAY_LOG_LEVEL"):
        environment["GATEWAY_LOG_LEVEL"] = settings.gateway_log_level
    if paths.python_path:
        environment |= {"PYTHONPATH": paths.python_path, "GATEWAY_SOURCE_DIGEST": paths.gateway_source}
    if settings.gateway_ca_bundle:
        environment["GATEWAY_CA_BUNDLE"] = CONTAINER_CA_BUNDLE if in_container else settings.gateway_ca_bundle
    for model in stack.models:
        environment[model.url_variable] = f"http://{paths.choose_host(model.service)}:{model.port}/v1"
    if in_container:
        # As a process it reaches them at loopback, which it never asks a proxy for.
        environment["GATEWAY_DIRECT_HOSTS"] = ",".join(_list_direct_hosts(stack))
    for endpoint in stack.endpoints:
        environment[endpoint.url_variable] = endpoint.find_url(in_container)
    if settings.gateway_redis_url:
        environment["GATEWAY_REDIS_URL"] = settings.gateway_redis_url
    if settings.gateway_redis_away != default_value("GATEWAY_REDIS_AWAY"):
        environment["GATEWAY_REDIS_AWAY"] = settings.gateway_redis_away
    return environment


def _list_direct_hosts(stack: Stack) -> list[str]:
    """Hosts that a container never asks through a proxy: the engines, and this machine where a provider is on it."""
    near = ["host.docker.internal"] if any(item.is_on_this_machine for item in stack.endpoints) else []
    return [*(model.service for model in stack.models), *near]


def _build_ingress_service(stack: Stack, apps: tuple[AppService, ...], relay_digest: str) -> Service:
    port = stack.settings.api_gateway_port
    # Where it is published only: from their networks the stack's own services reach none of each other.
    others = [word for app in apps if app.is_own for word in ("outside", str(app.port), app.name)]
    return Service(
        name=INGRESS,
        port=port,
        arguments=("0.0.0.0", str(port), GATEWAY, *others),  # noqa: S104  # published on BIND_ADDRESS by Docker
        environment={"RELAY_DIGEST": relay_digest},
        secrets={},
        health_path="",
        ready_timeout_s=INGRESS_START_S,
    )
