"""What is tried for each served name and how each server is asked, and what decided that: rows for people. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass, fields
from itertools import groupby

from stackctl.core.gateway.config import GatewayProvider, GatewayRoute, Timeouts
from stackctl.core.gateway.providers import build_provider, list_endpoints
from stackctl.core.gateway.routes import build_routes
from stackctl.core.gateway.timeouts import choose_engine_timeouts
from stackctl.core.models.requests import ModelRequest
from stackctl.core.settings.settings import Settings
from stackctl.core.settings.sources import Origin
from stackctl.core.settings.stackfile import Provider, Route, StackFile

DEFAULT = "default"
_REQUEST_TIMEOUT = "GATEWAY_REQUEST_TIMEOUT_S"
_NO_ROUTE = Route()


@dataclass(frozen=True, slots=True)
class Row:
    """One fact: of which name or server, which, its value as text, and what decided it."""

    subject: str
    key: str
    value: str
    origin: str


@dataclass(frozen=True, slots=True)
class Sources:
    """What decides a value.

    Attributes:
        origins: origin of each setting, by its name.
        places: the name of `.env` that made a key of `stack.yml`, by the key's path with dots.
    """

    origins: Mapping[str, Origin]
    places: Mapping[str, str]

    def name_key(self, path: str) -> str:
        """What made this key of `stack.yml`."""
        while path:
            if path in self.places:
                return f"{self.places[path]} (.env)"
            path = path.rpartition(".")[0]
        return "stack.yml"

    def name_setting(self, name: str) -> str:
        """What decided this setting."""
        origin = self.origins.get(name, Origin.DEFAULT)
        return DEFAULT if origin is Origin.DEFAULT else f"{name} ({origin})"


def describe_routes(
    settings: Settings, stackfile: StackFile, requests: tuple[ModelRequest, ...], sources: Sources
) -> list[Row]:
    """What is tried for each name that clients may ask for, in the file's order, and then the aliases."""
    models = [*(item.served_name for item in requests), *(item.served_name for item in list_endpoints(stackfile))]
    routes = build_routes(stackfile, dict.fromkeys(models), settings.gateway_request_timeout_s)
    rows = [row for route in routes for row in _describe_route(stackfile, route, sources)]
    aliases = [
        Row(match, "stands for", name, sources.name_key(f"aliases.{match}"))
        for match, name in stackfile.aliases.items()
    ]
    return [*rows, *aliases]


def _describe_route(stackfile: StackFile, built: GatewayRoute, sources: Sources) -> Iterator[Row]:
    route = stackfile.routes.get(built.name, _NO_ROUTE)
    place = f"routes.{built.name}"

    def choose(is_own: bool, key: str, otherwise: str) -> str:
        return sources.name_key(f"{place}.{key}") if is_own else otherwise

    limits = DEFAULT if stackfile.limits.retries == type(stackfile.limits)().retries else "limits.retries in stack.yml"
    limits = sources.name_key("limits.retries") if "limits.retries" in sources.places else limits
    yield Row(built.name, "targets", ", ".join(built.targets), choose(bool(route.others), "targets", DEFAULT))
    yield Row(built.name, "retries", f"{built.retries} each", choose(route.retries is not None, "retries", limits))
    deadline = choose(route.deadline is not None, "deadline", sources.name_setting(_REQUEST_TIMEOUT))
    yield Row(built.name, "deadline", _write_seconds(built.deadline_s), deadline)
    if route.local_only:
        yield Row(built.name, "local_only", "true", choose(True, "local_only", ""))
    if route.provider_key != "never":
        yield Row(built.name, "provider_key", route.provider_key, choose(True, "provider_key", ""))
    if route.cache:
        shared = ", shared" if route.cache.shared else ""
        kept = f"{route.cache.when}, {_write_seconds(route.cache.max_age)}{shared}"
        yield Row(built.name, "cache", kept, choose(True, "cache", ""))
    for key, value in built.defaults.items():
        yield Row(built.name, f"default {key}", f"{value:.15g}", choose(True, f"defaults.{key}", ""))


def describe_servers(
    settings: Settings, stackfile: StackFile, requests: tuple[ModelRequest, ...], sources: Sources
) -> list[Row]:
    """How each server behind the gateway is asked: engines of ours by the model that they serve, then providers."""
    request_s = settings.gateway_request_timeout_s
    own = [
        row
        for request in requests
        for row in (
            Row(request.served_name, "local", "true", "engine of this stack"),
            *_describe_timeouts(request.served_name, choose_engine_timeouts(request_s), _name_default(sources)),
        )
    ]

    def name_own(name: str, key: str, is_given: bool) -> str:
        return sources.name_key(f"providers.{name}.{key}") if is_given else DEFAULT

    first = {item.provider: item for item in reversed(list_endpoints(stackfile))}
    others = [
        row
        for name, provider in stackfile.providers.items()
        for built in (build_provider(name, provider, first[name], request_s),)
        for row in (
            Row(name, "kind", provider.kind, sources.name_key(f"providers.{name}")),
            Row(name, "local", _write_truth(built.is_local), name_own(name, "local", provider.local)),
            Row(
                name, "proxied", _write_truth(built.is_proxied), name_own(name, "proxied", provider.proxied is not None)
            ),
            *_describe_interval(sources, name, built.min_interval_ms),
            *_describe_limits(sources, name, built),
            *_describe_timeouts(name, built.timeouts, _name_timeout(sources, name, provider)),
        )
    ]
    return [*own, *others]


def _describe_interval(sources: Sources, name: str, interval_ms: int) -> tuple[Row, ...]:
    """The shortest time between two requests, where there is one."""
    source = sources.name_key(f"providers.{name}.min_interval_ms")
    return (Row(name, "pace", f"{interval_ms} ms between requests", source),) if interval_ms else ()


_LIMIT_WORDS = {"rpm": "requests a minute", "tpm": "tokens a minute", "parallel": "requests at once"}


def _describe_limits(sources: Sources, name: str, built: GatewayProvider) -> tuple[Row, ...]:
    """One row for each limit of a provider."""
    return tuple(
        Row(name, "limit", f"{limit} {_LIMIT_WORDS[key]}", sources.name_key(f"providers.{name}.{key}"))
        for key, limit in built.limits
    )


def _name_default(sources: Sources) -> Callable[[str], str]:
    return lambda key: sources.name_setting(_REQUEST_TIMEOUT) if key in ("first_token", "whole") else DEFAULT


def _name_timeout(sources: Sources, name: str, provider: Provider) -> Callable[[str], str]:
    def find(key: str) -> str:
        if getattr(provider.timeouts, key) is not None:
            return sources.name_key(f"providers.{name}.timeouts.{key}")
        return sources.name_setting(_REQUEST_TIMEOUT) if key == "whole" else DEFAULT

    return find


def _describe_timeouts(name: str, timeouts: Timeouts, find_origin: Callable[[str], str]) -> Iterator[Row]:
    """One row for neighbouring time-outs that the same thing decides."""
    values = asdict(timeouts)
    for origin, keys in groupby((item.name for item in fields(Timeouts)), key=find_origin):
        shown = ", ".join(f"{key.replace('_', ' ')} {_write_seconds(values[key])}" for key in keys)
        yield Row(name, "time-outs", shown, origin)


def _write_seconds(value: float) -> str:
    return f"{value:.15g} s"


def _write_truth(value: bool) -> str:
    return str(value).lower()
