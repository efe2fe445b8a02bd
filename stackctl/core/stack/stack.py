"""The Stack: everything that runs, as one frozen value that both runtimes, health and the documents read. Pure.

In: settings, `stack.yml`, the models' facts. Out: ``Stack`` and, for a runtime's ``RuntimePaths`` (how paths and hosts
look from inside it), its ``Service`` values: command, environment, secrets, port and probe, each stated once.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field

from stackctl.core.apps.app import AppPlaces, AppService
from stackctl.core.apps.catalog import link_apps, list_app_services
from stackctl.core.engine.engines import API_KEY_VARIABLE, Engine
from stackctl.core.engine.vllm import VLLM
from stackctl.core.gateway.config import GatewayConfig
from stackctl.core.gateway.deployments import build_gateway_config
from stackctl.core.gateway.providers import RemoteEndpoint, list_endpoints
from stackctl.core.machine.host import RuntimeName
from stackctl.core.models.served import ServedModel
from stackctl.core.settings.engine_environment import list_references, list_values
from stackctl.core.settings.places import find_gateway_place
from stackctl.core.settings.settings import Settings, default_value
from stackctl.core.settings.stackfile import StackFile
from stackctl.core.stack.checks import check_address, check_engine, check_names, check_own_address, check_ports
from stackctl.core.stack.engine_start import build_engine_start
from stackctl.errors import ConfigError

GATEWAY = "api-gateway"
# Containers only: what is published for the gateway, which itself is on no network with a way out.
INGRESS = "ingress"

GATEWAY_START_S = 120.0
INGRESS_START_S = 10.0
CONTAINER_CA_BUNDLE = "/etc/api-gateway/ca.pem"  # the file of GATEWAY_CA_BUNDLE


@dataclass(frozen=True, slots=True)
class Stack:
    """One stack, whichever runtime it runs in.

    Attributes:
        engine: engine that serves the models, with what it can do; a model may name another one.
        gateway: values that LiteLLM is configured with.
        endpoints: other servers behind the gateway.
        variables: names of the secrets that providers need.
    """

    settings: Settings
    engine: Engine
    models: tuple[ServedModel, ...]
    gateway: GatewayConfig
    endpoints: tuple[RemoteEndpoint, ...]
    variables: tuple[str, ...]

    def find_model(self, served_name: str) -> ServedModel | None:
        """The model of ours that has this served name; None where none has it."""
        return next((model for model in self.models if model.served_name == served_name), None)

    def find_engine(self, model: ServedModel) -> Engine:
        """The engine that serves this model."""
        return VLLM if model.is_vllm else self.engine

    @property
    def uses_engine(self) -> bool:
        """Whether any model is served by the stack's engine, and not by one of its own."""
        return any(not model.is_vllm for model in self.models)

    @property
    def uses_vllm(self) -> bool:
        """Whether any model is served by vLLM."""
        return any(model.is_vllm for model in self.models)


@dataclass(frozen=True, slots=True)
class RuntimePaths:
    """How a runtime sees paths and hosts.

    Attributes:
        engine_command: words that come before the engine's arguments; empty where the image has an entry point.
        engine_environment: variables that this machine's form of the engine needs beside what every engine is given.
        vllm_command: words that come before vLLM's arguments; empty where the Compose file has an entry point.
        vllm_modules: folder of the module that makes vLLM ask for its key everywhere; empty in a container, whose
            network only the stack is on.
        gateway_command: words that come before the gateway's arguments; empty where the image has an entry point.
        python_path: folder of the gateway's package, empty where the image knows it.
        gateway_source: digest of that package, so that an upgrade restarts the gateway; an image's name holds its own.
        gateway_config: path of the rendered LiteLLM configuration as the gateway sees it.
        gateway_state: folder of the gateway's database as the gateway sees it.
        programs: folder of programs that were installed beside stackctl; empty in a container.
        certificate_mark: digest of the certificate that the app lan starts with; empty in a container.
        state: absolute path of the site's state folder, below which apps keep their data; empty in a container.
        scratch: path of a folder that services may write to.
    """

    runtime: RuntimeName
    engine_command: tuple[str, ...] = ()
    engine_environment: Mapping[str, str] = field(default_factory=dict)
    vllm_command: tuple[str, ...] = ()
    vllm_modules: str = ""
    gateway_command: tuple[str, ...] = ()
    python_path: str = ""
    gateway_source: str = ""
    gateway_config: str = "/etc/api-gateway/config.yaml"
    gateway_state: str = "/var/lib/api-gateway"
    programs: str = ""
    certificate_mark: str = ""
    state: str = ""
    scratch: str = "/tmp"  # noqa: S108  # inside a container: its own tmpfs

    def find_model_path(self, path: str) -> str:
        """A model file's path as the engine sees it."""
        return path if self.runtime == "process" else f"/models/{path.rsplit('/', 1)[-1]}"

    @property
    def apps(self) -> AppPlaces:
        """The same for apps."""
        if self.runtime == "compose":
            return AppPlaces(in_container=True)
        python = self.gateway_command[0] if self.gateway_command else ""
        return AppPlaces(
            False,
            self.state,
            python,
            self.python_path,
            self.gateway_source,
            self.programs,
            self.certificate_mark,
        )

    def choose_host(self, service: str) -> str:
        """The name or address under which one service reaches another."""
        return "127.0.0.1" if self.runtime == "process" else service


@dataclass(frozen=True, slots=True)
class Service:
    """One service to start, in one runtime.

    Attributes:
        arguments: command line; in a container, what follows the image's entry point.
        environment: variables that are not secret, name to value.
        secrets: setting that holds the value of each secret variable, by the variable's name.
        health_path: path that answers 200 when the service is ready, without a key; empty for the ingress, which only
            passes on what the gateway answers.
        ready_timeout_s: seconds that the service may take until it is ready.
        model: model that the service serves; None for the gateway, its ingress and apps.
        app: the service as its app describes it; None for all others.
        key_variable: variable in which an engine finds the key that it asks for.
    """

    name: str
    port: int
    arguments: tuple[str, ...]
    environment: Mapping[str, str]
    secrets: Mapping[str, str]
    health_path: str
    ready_timeout_s: float
    model: ServedModel | None = None
    app: AppService | None = None
    key_variable: str = API_KEY_VARIABLE

    @property
    def digest(self) -> str:
        """A digest that changes when anything that the service reads at its start changes, secrets apart."""
        content = [
            self.name,
            self.port,
            self.arguments,
            sorted(self.environment.items()),
            sorted(self.secrets.items()),
        ]
        return hashlib.sha256(json.dumps(content).encode()).hexdigest()[:16]


def find_gateway_url(settings: Settings) -> str:
    """Base URL of the gateway as this machine reaches it, without a trailing slash."""
    return f"http://{find_gateway_place(settings)}"


def build_services(stack: Stack, paths: RuntimePaths, config_digest: str, relay_digest: str) -> tuple[Service, ...]:
    """The services of a stack in one runtime, engines first and the gateway last.

    Args:
        config_digest: digest of the rendered gateway configuration; part of the gateway's environment, so that a
            changed configuration is a changed service.
        relay_digest: digest of the ingress's program, which is part of the ingress's environment likewise.
    """
    engines = tuple(_build_engine_service(stack, model, paths) for model in stack.models)
    ingress = (_build_ingress_service(stack, relay_digest),) if paths.runtime == "compose" else ()
    apps = tuple(_build_app_service(item) for item in list_app_services(stack.settings, paths.apps))
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


def _build_ingress_service(stack: Stack, relay_digest: str) -> Service:
    port = stack.settings.api_gateway_port
    return Service(
        name=INGRESS,
        port=port,
        arguments=("0.0.0.0", str(port), GATEWAY),  # noqa: S104  # published on BIND_ADDRESS by Docker
        environment={"RELAY_DIGEST": relay_digest},
        secrets={},
        health_path="",
        ready_timeout_s=INGRESS_START_S,
    )


def build_stack(settings: Settings, stackfile: StackFile, engine: Engine, models: tuple[ServedModel, ...]) -> Stack:
    """Put the stack together from what it is made of.

    Raises:
        ConfigError: a port is used twice, a name is served twice, or a route or limit names no model.
    """
    endpoints = list_endpoints(stackfile)
    findings = [
        *check_address(settings),
        *check_ports(settings, models),
        *check_engine(engine, models),
        *check_names(stackfile, models, endpoints),
        *check_own_address(settings, endpoints),
    ]
    if findings:
        raise ConfigError("The configuration does not make a stack.", findings[0].hint, findings)
    gateway = build_gateway_config(settings, stackfile, models, endpoints)
    return Stack(settings, engine, models, gateway, endpoints, tuple(sorted(stackfile.list_provider_variables())))
