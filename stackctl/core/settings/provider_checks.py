"""What must hold of providers and routes beyond each key's own form: addresses, keys, ways that end. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Set
from urllib.parse import SplitResult, urlsplit

from stackctl.core.settings.stackfile import Mode, Provider, StackFile
from stackctl.core.text.printable import hide_user
from stackctl.errors import Finding

# Their own services, which ask every caller for a key.
HOSTED = ("openai", "anthropic")
_ROUTES = ("/chat/completions", "/completions", "/embeddings", "/messages", "/responses", "/models")


def check_providers(stackfile: StackFile) -> list[Finding]:
    """Check that each provider can be reached under its address, and has the key that it will ask for."""
    findings: list[Finding] = []
    for name, provider in stackfile.providers.items():
        place = f"providers.{name}"
        findings += [
            Finding(f"{place}.api_base", message, hint, file="stack.yml") for message, hint in _check_address(provider)
        ]
        if provider.kind not in HOSTED and provider.api_base is None:
            message = f"api_base is needed for a provider of kind {provider.kind}"
            findings.append(Finding(place, message, "add 'api_base: http://host:port/v1'", file="stack.yml"))
        if provider.kind in HOSTED and provider.api_base is None and not (provider.api_key or provider.headers):
            variable = f"{provider.kind.upper()}_API_KEY"
            hint = f"add 'api_key: {variable}' here, and {variable}=... to .env"
            message = f"api_key is missing: {provider.kind} answers nobody without a key"
            findings.append(Finding(place, message, hint, file="stack.yml"))
    return findings


def _check_address(provider: Provider) -> Iterator[tuple[str, str]]:
    url = provider.api_base
    if url is None:
        return
    try:
        parts = urlsplit(url)
        usable = bool(parts.hostname) and (parts.port is None or parts.port > 0)
    except ValueError:  # a port that is none, half a pair of brackets
        usable = False
    if not usable:
        yield "holds no host or port that can be read", "write it as http://host:port/v1"
        return
    path = parts.path.rstrip("/")
    route = next((route for route in _ROUTES if path.endswith(route)), "")
    base = path.removesuffix(route)
    root = re.sub("(/v1)+$", "", base)
    if provider.kind == "anthropic":
        # LiteLLM puts /v1/messages behind everything that does not end with it (main.py, "default route for all").
        if path.endswith("/v1/messages"):
            return
        if root != path:
            yield "is not what '/v1/messages' can follow", _suggest_address(parts, root)
    elif route:
        message = f"is the address of one route, '{route}'; expected the one that all begin with"
        yield message, _suggest_address(parts, root if provider.kind == "ollama" else base)
    elif path.endswith("/v1/v1"):
        yield "ends with /v1 twice", _suggest_address(parts, f"{root}/v1")
    elif provider.kind == "ollama" and path.endswith("/v1"):
        yield "ends with /v1, which Ollama's own format does not have", _suggest_address(parts, root)


def _suggest_address(parts: SplitResult, path: str) -> str:
    return f"write {hide_user(parts._replace(path=path, query='', fragment='').geturl())}"


def check_provider_keys(stackfile: StackFile, variables: Mapping[str, str], blank: Set[str]) -> list[Finding]:
    """Check that every variable that a provider names is set.

    Args:
        variables: names of the variables that have a value.
        blank: names of the variables that are there without a value; a server of one's own may want no key.
    """
    findings = []
    for name, provider in stackfile.providers.items():
        may_be_blank = provider.kind not in HOSTED or provider.api_base is not None
        if provider.api_key and not (provider.api_key in variables or (may_be_blank and provider.api_key in blank)):
            findings.append(_name_variable(f"providers.{name}.api_key", provider.api_key, blank))
        findings += [
            _name_variable(f"providers.{name}.headers.{header}", variable, blank)
            for header, variable in provider.headers.items()
            if variable not in variables
        ]
    return findings


def _name_variable(subject: str, variable: str, blank: Set[str]) -> Finding:
    seen = "is empty" if variable in blank else "is not set"
    return Finding(subject, f"names {variable}, which {seen}", f"add {variable}=... to .env")


def check_routes(stackfile: StackFile, modes: Mapping[str, Mode]) -> list[Finding]:
    """Check that a model falls back to others of its mode, and no chain of fallbacks comes back to where it began.

    Args:
        modes: mode of each served name; a name that is not served is another check's.
    """
    findings: list[Finding] = []
    for name, route in stackfile.routes.items():
        place = f"routes.{name}"
        for other in route.fallbacks:
            if other == name:
                message = f"'{name}' falls back to itself"
                findings.append(Finding(place, message, "name another model", file="stack.yml"))
            elif name in modes and other in modes and modes[other] != modes[name]:
                message = f"'{name}' is for {modes[name]} and its fallback '{other}' for {modes[other]}"
                findings.append(Finding(place, message, f"name a model for {modes[name]}", file="stack.yml"))
        ring = _find_ring(stackfile, name)
        if ring:
            message = f"the fallbacks go round in a ring: {' -> '.join(ring)}"
            findings.append(Finding(place, message, "leave one of them out", file="stack.yml"))
    return findings


def _find_ring(stackfile: StackFile, start: str) -> tuple[str, ...]:
    """A way along fallbacks from a name back to it, told once, from the first of its names; empty without one."""
    ways: list[tuple[str, ...]] = [(start,)]
    seen = {start}
    while ways:
        way = ways.pop()
        route = stackfile.routes.get(way[-1])
        for other in route.fallbacks if route else ():
            if other == start and len(way) > 1:
                return (*way, start) if start == min(way) else ()
            if other not in seen:
                seen.add(other)
                ways.append((*way, other))
    return ()
