"""`stack.yml` as the names of `.env` change it: providers beside its own, and what ``local-chat`` means. Pure.

In: the names' values and `stack.yml`. Out: one ``Overlay``, whose ``stackfile`` everything after it reads like a
`stack.yml` that somebody wrote.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace

from stackctl.core.settings.names.local_chat import (
    ENGINE_CHAT,
    LOCAL_CHAT,
    check_environment,
    find_targets,
    route_local_chat,
    set_requests,
)
from stackctl.core.settings.names.providers import build_providers, check_complete
from stackctl.core.settings.names.table import PLACES, list_names
from stackctl.core.settings.names.values import NamedValues
from stackctl.core.settings.provider_checks import check_providers
from stackctl.core.settings.stackfile import Provider, StackFile
from stackctl.errors import Finding, Severity


@dataclass(frozen=True, slots=True)
class Overlay:
    """What the names make of a site.

    Attributes:
        names: what `.env` says.
        stackfile: `stack.yml` with what the names add.
        became: what each name that has a value turned into, a clause.
        places: the name that made a key of ``stackfile``, by the key's path with dots.
        settings: values of settings that the names decide, by the setting's name.
        findings: what is wrong (errors), and what changes nothing (warnings).
    """

    names: NamedValues = field(default_factory=NamedValues)
    stackfile: StackFile = field(default_factory=StackFile)
    became: Mapping[str, str] = field(default_factory=dict)
    places: Mapping[str, str] = field(default_factory=dict)
    settings: Mapping[str, bool | str] = field(default_factory=dict)
    findings: tuple[Finding, ...] = ()

    @property
    def chat_name(self) -> str:
        """The served name of the engine that serves CHAT_MODEL."""
        return ENGINE_CHAT if self.names.values.environment else LOCAL_CHAT

    def rename(self, finding: Finding) -> Finding:
        """The finding about the name of `.env` that made what it is about; as it is where none made it."""
        subject = finding.subject
        while subject and subject not in self.places:
            subject = subject.rpartition(".")[0]
        return replace(finding, subject=self.places[subject], file="", line=0) if subject else finding


def build_overlay(names: NamedValues, stackfile: StackFile) -> Overlay:
    """Join what the names say with what `stack.yml` says; what is wrong is a finding, not a failure."""
    made = build_providers(names, stackfile)
    complete = {
        name: provider for name, provider in made.items() if provider.models and name not in stackfile.providers
    }
    joined = replace(stackfile, providers={**stackfile.providers, **complete})
    findings = [*names.findings, *check_complete(names, made), *_check_twice(made, stackfile)]
    targets: tuple[str, ...] = ()
    if environment := names.values.environment:
        targets = find_targets(environment, complete, joined)
        findings += check_environment(environment, made, targets, stackfile)
        joined = route_local_chat(joined, targets) if targets else joined
    joined = set_requests(joined, names)
    unused = tuple(_find_unused(names, stackfile))
    became, places = _describe(names, targets, stackfile), _list_places(names, joined, stackfile)
    overlay = Overlay(names, joined, became, places, _choose_settings(names))
    findings += [overlay.rename(finding) for finding in check_providers(StackFile(providers=complete))]
    return replace(overlay, findings=(*findings, *unused))


def _check_twice(made: Mapping[str, Provider], stackfile: StackFile) -> Iterator[Finding]:
    """Check that none of the providers is in `stack.yml` too, under its name."""
    for name in made:
        if name in stackfile.providers:
            address = PLACES[f"providers.{name}.api_base"]
            message = f"makes a provider '{name}', and stack.yml has one of that name"
            yield Finding(address, message, "keep one: clear the name in .env, or rename the provider", file=".env")


def _choose_settings(names: NamedValues) -> dict[str, bool | str]:
    """The settings that a switch decides, when it is on."""
    settings: dict[str, bool | str] = {}
    if names.values.mycoder_disable_embeddings:
        settings["GATEWAY_EMBEDDINGS"] = False
    if names.values.llm_debug:
        settings["GATEWAY_LOG_LEVEL"] = "debug"
    return settings


def _find_idle(names: NamedValues) -> set[str]:
    """Names that have a value, and lack the one without which they make nothing."""
    needs = {item.name.upper(): str(item.metadata["needs"]) for item in list_names()}
    return {name for name in names.given if needs[name] and needs[name] not in names.given}


def _find_unused(names: NamedValues, stackfile: StackFile) -> Iterator[Finding]:
    """A warning for each name that has a value and changes nothing."""
    for name in sorted(_find_idle(names) - stackfile.list_variables()):
        needed = next(item.metadata["needs"] for item in list_names() if item.name.upper() == name)
        message = f"changes nothing without {needed}"
        yield Finding(name, message, f"add {needed}=..., or remove {name}", Severity.WARNING, ".env")
    if names.values.mycoder_lmstudio_smoke:
        message = "changes nothing here; 'make test' reads it from the environment"
        yield Finding("MYCODER_LMSTUDIO_SMOKE", message, "export it there", Severity.WARNING, ".env")


def _describe(names: NamedValues, targets: tuple[str, ...], stackfile: StackFile) -> dict[str, str]:
    """What each name that has a value turned into; a switch that is off turned into nothing."""
    values, idle = names.values, _find_idle(names)
    became = dict.fromkeys(names.given, "nothing")
    became |= {name: place for place, name in PLACES.items() if name in names.given - idle}
    became |= dict.fromkeys(idle & stackfile.list_variables(), "what stack.yml names it for")
    if targets:
        became["ENVIRONMENT"] = f"routes.{LOCAL_CHAT}.targets: {', '.join(targets)}; CHAT_MODEL is {ENGINE_CHAT}"
    switches = {
        "MYCODER_DISABLE_EMBEDDINGS": (values.mycoder_disable_embeddings, "GATEWAY_EMBEDDINGS=false"),
        "LLM_DEBUG": (values.llm_debug, "GATEWAY_LOG_LEVEL=debug"),
    }
    became |= {name: text if on else "nothing" for name, (on, text) in switches.items() if name in became}
    return became


def _list_places(names: NamedValues, joined: StackFile, stackfile: StackFile) -> dict[str, str]:
    """The name behind each key that the names made; a key that `stack.yml` has stays its own."""
    places = {place: name for place, name in PLACES.items() if name in names.given}
    for name in joined.providers.keys() - stackfile.providers.keys():
        places[f"providers.{name}"] = PLACES[f"providers.{name}.api_base"]
        for served_name, model in joined.providers[name].models.items():
            mode = "chat" if model.mode == "chat" else "embed"
            places[f"providers.{name}.models.{served_name}"] = PLACES[f"providers.{name}.models.{name}-{mode}"]
    if names.values.environment and LOCAL_CHAT not in stackfile.routes:
        places[f"routes.{LOCAL_CHAT}"] = "ENVIRONMENT"
    return places
