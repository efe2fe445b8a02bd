"""What must hold between settings, models and `stack.yml` before there is a stack: checks to findings. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from ipaddress import ip_address
from urllib.parse import urlsplit

from stackctl.core.apps.catalog import choose_apps
from stackctl.core.engine.engines import Engine
from stackctl.core.engine.vllm import VLLM
from stackctl.core.gateway.aliases import check_aliases
from stackctl.core.gateway.providers import RemoteEndpoint
from stackctl.core.gateway.route_checks import ModelFacts, check_routes
from stackctl.core.gateway.routes import list_route_names
from stackctl.core.models.served import ServedModel
from stackctl.core.settings.engine_environment import list_references
from stackctl.core.settings.settings import Settings, default_value
from stackctl.core.settings.stackfile import StackFile
from stackctl.core.text.printable import is_text
from stackctl.errors import ConfigError, Finding, Severity, suggest_nearest

LAST_PORT = 65_535


def check_ports(settings: Settings, models: tuple[ServedModel, ...]) -> list[Finding]:
    """Check that every service has a port of its own, within the range."""
    findings = []
    gateway = settings.api_gateway_port
    for model in models:
        if model.port > LAST_PORT:
            message = f"puts {model.served_name} on port {model.port}; the last port is {LAST_PORT}"
            findings.append(Finding("INFERENCE_PORT", message, "choose a lower INFERENCE_PORT"))
        elif model.port == gateway:
            formula = f"INFERENCE_PORT + {model.port - settings.inference_port}"
            # Of the two, the one that was changed is the one to look at.
            if settings.inference_port == default_value("INFERENCE_PORT"):
                subject, message = "API_GATEWAY_PORT", f"{gateway} is also the port of {model.served_name} ({formula})"
            else:
                subject, message = (
                    "INFERENCE_PORT",
                    f"puts {model.served_name} on {gateway}, the gateway's port ({formula})",
                )
            findings.append(Finding(subject, message, "choose another API_GATEWAY_PORT or INFERENCE_PORT"))
    return [*findings, *_check_app_ports(settings, models)]


def _check_app_ports(settings: Settings, models: tuple[ServedModel, ...]) -> Iterator[Finding]:
    taken = {model.port: model.served_name for model in models} | {settings.api_gateway_port: "the gateway"}
    for name in (port for app in choose_apps(settings) for port in dict.fromkeys((*app.ports, *app.published))):
        port = getattr(settings, name.lower())
        if port in taken:
            yield Finding(name, f"{port} is also the port of {taken[port]}", f"choose another {name}")
        taken.setdefault(port, name)


def check_engine(engine: Engine, models: tuple[ServedModel, ...]) -> list[Finding]:
    """Check that the engine can serve what is asked of it."""
    return [
        Finding(
            model.setting,
            f"{model.served_name} is for {model.mode}, which the engine {engine.name} does not do",
            "choose another INFERENCE_ENGINE",
        )
        for model in models
        if not model.is_vllm and model.mode not in engine.modes
    ] + [
        Finding(
            model.setting,
            f"{model.served_name} is for {model.mode}, which vLLM does not do here",
            f"remove engine: {VLLM.name}, or set mode to one of {', '.join(sorted(VLLM.modes))}",
        )
        for model in models
        if model.is_vllm and model.mode not in VLLM.modes
    ]


def check_names(
    stackfile: StackFile, models: tuple[ServedModel, ...], endpoints: tuple[RemoteEndpoint, ...]
) -> list[Finding]:
    """Check that served names are unique, and that each route, alias and limit names some that make a way."""
    findings: list[Finding] = []
    owners = {model.served_name: model.setting for model in models}
    facts = {model.served_name: ModelFacts(model.mode, True, "", model.context_length) for model in models}
    for endpoint in endpoints:
        place = f"providers.{endpoint.provider}.models.{endpoint.served_name}"
        if endpoint.served_name in owners:
            message = f"'{endpoint.served_name}' is already served by {owners[endpoint.served_name]}"
            findings.append(Finding(place, message, "rename one of them", file="stack.yml"))
        owners.setdefault(endpoint.served_name, place)
        facts.setdefault(endpoint.served_name, _describe_endpoint(stackfile, endpoint))
    findings += _check_provider_names(models, endpoints)
    findings += _check_known(stackfile.limits.models, owners, "limits.models")
    findings += check_aliases(stackfile.aliases, list_route_names(stackfile, owners))
    return [*findings, *check_routes(stackfile, facts)]


def _describe_endpoint(stackfile: StackFile, endpoint: RemoteEndpoint) -> ModelFacts:
    is_local = stackfile.providers[endpoint.provider].local
    return ModelFacts(endpoint.mode, is_local, endpoint.provider, endpoint.context_length)


def _check_provider_names(models: tuple[ServedModel, ...], endpoints: tuple[RemoteEndpoint, ...]) -> Iterator[Finding]:
    """Check that each provider can be told from the others and from our engines."""
    variables: dict[str, str] = {}
    services = {model.service: model.served_name for model in models}
    for endpoint in {item.provider: item for item in endpoints}.values():
        other = variables.setdefault(endpoint.url_variable, endpoint.provider)
        place = f"providers.{endpoint.provider}"
        if other != endpoint.provider:
            message = f"differs from '{other}' only in characters that a variable's name does not have"
            yield Finding(place, message, "rename one of them", file="stack.yml")
        elif endpoint.provider in services:
            message = f"is also the name of the engine of '{services[endpoint.provider]}'"
            yield Finding(place, message, "rename the provider", file="stack.yml")


def check_own_address(settings: Settings, endpoints: tuple[RemoteEndpoint, ...]) -> Iterator[Finding]:
    """Check that no provider is this stack's own gateway, which would ask itself until its slots are all taken."""
    for provider, endpoint in {item.provider: item for item in endpoints}.items():
        parts = urlsplit(endpoint.url)
        is_near = endpoint.is_on_this_machine or parts.hostname == settings.bind_address
        if is_near and parts.port == settings.api_gateway_port:
            message = f"is this stack's own gateway, on port {settings.api_gateway_port}, which would ask itself"
            hint = "write the address of the other server"
            yield Finding(f"providers.{provider}.api_base", message, hint, file="stack.yml")


def check_engine_ports(
    models: tuple[ServedModel, ...], endpoints: tuple[RemoteEndpoint, ...], runtime: str
) -> Iterator[Finding]:
    """Check that no provider of this machine is where an engine of ours listens; in containers those have no port."""
    ports = {model.port: model.served_name for model in models} if runtime == "process" else {}
    for provider, endpoint in {item.provider: item for item in endpoints}.items():
        port = urlsplit(endpoint.url).port
        if endpoint.is_on_this_machine and port in ports:
            message = f"is where this stack's own engine of {ports[port]} listens, on port {port}"
            hint = "choose another INFERENCE_PORT, or write the address of the other server"
            yield Finding(f"providers.{provider}.api_base", message, hint, file="stack.yml")


def check_engine_variables(stackfile: StackFile, variables: Mapping[str, str]) -> list[Finding]:
    """Check that every variable of `.env` that an engine is given is set.

    Args:
        variables: values of the variables that are set, by name.
    """
    return [
        Finding(
            f"models.{name}.environment.{own}",
            f"names {variable}, which is not set",
            f"add {variable}=... to .env",
        )
        for name, model in stackfile.models.items()
        for own, variable in list_references(model.environment).items()
        if variable not in variables
    ]


def check_site_path(site: str) -> None:
    """Refuse a path that a rendered file cannot hold: in supervisor's, `` ;`` and `` #`` begin a comment.

    Raises:
        ConfigError: the path has such characters; names them.
    """
    if not is_text(site):
        raise ConfigError(f"The site's path is not UTF-8: {site!r}.", "rename the folder")
    for mark in (" ;", " #", "\n", "\r"):
        if mark in site:
            raise ConfigError(f"The site's path has {mark!r} in it: {site!r}.", "rename the folder")


def check_address(settings: Settings) -> list[Finding]:
    """Check that BIND_ADDRESS is an IP address."""
    try:
        ip_address(settings.bind_address)
    except ValueError:
        return [
            Finding(
                "BIND_ADDRESS",
                f"is '{settings.bind_address}'; expected an IP address",
                "set BIND_ADDRESS=127.0.0.1",
            )
        ]
    return []


def check_open_address(settings: Settings) -> list[Finding]:
    """A warning where BIND_ADDRESS opens the gateway's plain HTTP to other machines."""
    try:
        is_open = not ip_address(settings.bind_address).is_loopback
    except ValueError:  # for another check to say
        is_open = False
    if not is_open:
        return []
    message = (
        f"is {settings.bind_address}: keys, prompts and answers travel so that others in the network can read them"
    )
    hint = "set BIND_ADDRESS=127.0.0.1, and run 'stackctl lan enable' for TLS"
    return [Finding("BIND_ADDRESS", message, hint, Severity.WARNING)]


def check_bind_address(settings: Settings, runtime: str) -> list[Finding]:
    """Check that the process runtime stays on this machine: it has no firewall of its own around a service."""
    address = ip_address(settings.bind_address)
    if runtime == "process" and not address.is_loopback:
        message = f"is {address}; the process runtime listens on loopback only"
        return [Finding("BIND_ADDRESS", message, "set BIND_ADDRESS=127.0.0.1, or use the compose runtime")]
    return []


def _check_known(names: Iterable[str], known: Iterable[str], place: str) -> list[Finding]:
    served = list(known)
    return [
        Finding(
            place,
            f"'{name}' is no served name",
            suggest_nearest(name, served) or f"served are: {', '.join(served)}",
            file="stack.yml",
        )
        for name in names
        if name not in served
    ]
