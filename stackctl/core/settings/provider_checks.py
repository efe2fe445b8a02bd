"""What must hold of providers beyond each key's own form: addresses, keys, headers. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Set
from urllib.parse import SplitResult, urlsplit

from stackctl.core.settings.stackfile import Provider, StackFile
from stackctl.core.text.printable import hide_user
from stackctl.errors import Finding

# Their own services, which ask every caller for a key.
HOSTED = ("openai", "anthropic")
# What a provider of kind internal is told of who asks: keys of `stack.yml` that name a variable.
IDENTITY = ("ticket", "user_id", "user_type")
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
        findings += [
            Finding(f"{place}.{key}", message, hint, file="stack.yml")
            for key, message, hint in _check_identity(provider)
        ]
        if provider.local and provider.proxied:
            message = "is both local and proxied; the company's proxy is for what lies outside"
            findings.append(Finding(f"{place}.proxied", message, "remove one of the two", file="stack.yml"))
    return findings


def _check_identity(provider: Provider) -> Iterator[tuple[str, str, str]]:
    """Check what a provider is told of who asks: by kind internal alone, and each header once."""
    given = {key: variable for key in IDENTITY if (variable := getattr(provider, key))}
    if provider.kind != "internal":
        for key, variable in given.items():
            hint = f"write 'headers: {{{getattr(provider.header_names, key)}: {variable}}}', or kind: internal"
            yield key, f"is for kind internal; this one is {provider.kind}", hint
        return
    taken = {header.lower(): f"headers.{header}" for header in provider.headers}
    for key in given:
        header = getattr(provider.header_names, key)
        if other := taken.get(header.lower()):
            yield key, f"is sent as {header}, which {other} is sent as, too", f"change header_names.{key}"
        taken[header.lower()] = key


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
        findings += [
            _name_variable(f"providers.{name}.{key}", variable, blank)
            for key in IDENTITY
            if (variable := getattr(provider, key)) and variable not in variables
        ]
    return findings


def _name_variable(subject: str, variable: str, blank: Set[str]) -> Finding:
    seen = "is empty" if variable in blank else "is not set"
    return Finding(subject, f"names {variable}, which {seen}", f"add {variable}=... to .env")
