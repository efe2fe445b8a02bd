"""The Stack: everything that runs, as one frozen value that both runtimes, health and the documents read. Pure.

In: settings, `stack.yml`, the models' facts. Out: ``Stack`` and, for a runtime's ``RuntimePaths`` (how paths and hosts
look from inside it), what services.py makes of it: ``Service`` values with command, environment, secrets, port and
probe, each stated once.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field

from stackctl.core.apps.app import AppPlaces, AppService, OwnProgram
from stackctl.core.apps.own_service import INGRESS as INGRESS
from stackctl.core.engine.engines import API_KEY_VARIABLE, Engine
from stackctl.core.engine.vllm import VLLM
from stackctl.core.gateway.config import GatewayConfig
from stackctl.core.gateway.deployments import build_gateway_config
from stackctl.core.gateway.providers import RemoteEndpoint, list_endpoints
from stackctl.core.machine.host import RuntimeName
from stackctl.core.models.served import ServedModel
from stackctl.core.settings.settings import Settings
from stackctl.core.settings.stackfile import StackFile
from stackctl.core.stack.checks import check_address, check_engine, check_names, check_own_address, check_ports
from stackctl.errors import ConfigError

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
        engine_threads: threads of an engine of ours that may not use all of the machine; None where it chooses them.
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
        own_apps: the programs of apps' services that are the stack's own, by the service; none in a container.
    """

    runtime: RuntimeName
    engine_command: tuple[str, ...] = ()
    engine_environment: Mapping[str, str] = field(default_factory=dict)
    engine_threads: int | None = None
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
    own_apps: Mapping[str, OwnProgram] = field(default_factory=dict)

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
            self.scratch,
            self.own_apps,
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
