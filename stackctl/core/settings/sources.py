"""Where settings come from: flag, environment, `.env`, an installed release, default; each value checked. Pure.

In: the parsed `.env`, the environment and the flags, as mappings. Out: ``Settings`` and the origin of each value.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import Field, dataclass, field, fields, replace
from enum import StrEnum
from typing import Any

from stackctl.core.settings.dotenv import DotenvFile
from stackctl.core.settings.names.overlay import Overlay
from stackctl.core.settings.names.table import name_keys, travelling_keys
from stackctl.core.settings.settings import Settings, is_generated, setting_names
from stackctl.core.settings.value_text import parse_value
from stackctl.errors import ConfigError, Finding, Severity, raise_config_error, suggest_nearest


class Origin(StrEnum):
    """The sources of a setting's value, strongest first."""

    FLAG = "flag"
    ENVIRONMENT = "environment"
    DOTENV = ".env"
    RELEASE = "release"
    DEFAULT = "default"


@dataclass(frozen=True, slots=True)
class ResolvedSettings:
    """Settings with their origins, and the other variables that `stack.yml` may name (providers' keys).

    Attributes:
        values: the settings.
        origins: origin of each value, by the setting's name in upper case.
        variables: variables of `.env` and the environment that `stack.yml` refers to by name, those with a value.
        blank: names of such variables that are there without a value.
        findings: warnings worth showing, such as a key set twice.
        overlay: what the names of other tools in `.env` make of `stack.yml`.
    """

    values: Settings
    origins: Mapping[str, Origin]
    variables: Mapping[str, str] = field(repr=False)
    findings: tuple[Finding, ...] = ()
    blank: frozenset[str] = frozenset()
    overlay: Overlay = field(default_factory=Overlay)


_PROMPTS_LOGGED = Finding(
    "GATEWAY_LOG_PROMPTS",
    "prompts and answers of all routes are written down, masked, for one hour after each start",
    "use 'stackctl content-log start' for single routes and another time",
    Severity.WARNING,
)


def resolve_settings(
    dotenv: DotenvFile,
    environment: Mapping[str, str],
    flags: Mapping[str, str],
    referenced: frozenset[str] = frozenset(),
    release: DotenvFile | None = None,
) -> ResolvedSettings:
    """Merge the sources (flag > environment > `.env` > release > default) and check every value.

    Args:
        dotenv: the parsed `.env`.
        environment: the process environment.
        flags: text given on the command line, by the setting's name in upper case.
        referenced: variables that `stack.yml` names; they are allowed in `.env` beside the settings.
        release: settings that an installed release brought.

    Raises:
        ConfigError: there is an unknown key, a wrong type or a value out of bounds; one finding for each.
    """
    packed = release or DotenvFile("")
    findings = [*dotenv.findings, *packed.findings]
    # What a release says of one site's providers would decide where another site's requests go.
    findings += [*_check_known(dotenv, referenced | name_keys()), *_check_known(packed, referenced | travelling_keys())]
    values: dict[str, Any] = {}
    origins: dict[str, Origin] = {}
    for item in fields(Settings):
        text, origin = pick_source(item.name.upper(), (flags, environment, dotenv.values, packed.values))
        origins[item.name.upper()] = origin
        if text is None:
            values[item.name] = item.default
            continue
        value, problem = parse_value(item, text)
        if problem:
            findings.append(_describe_problem(item, problem, origin, packed if origin is Origin.RELEASE else dotenv))
        values[item.name] = value
    raise_config_error("The settings are not usable.", findings)
    if values["gateway_log_prompts"]:
        findings.append(_PROMPTS_LOGGED)
    # A shell's own USER_ID is not the one that a provider is told.
    around = {name: value for name, value in environment.items() if name not in name_keys()}
    known = {name: around.get(name) or dotenv.values.get(name, "") for name in sorted(referenced)}
    variables = {name: value for name, value in known.items() if value}
    blank = frozenset(name for name in referenced - variables.keys() if name in dotenv.values or name in around)
    return ResolvedSettings(Settings(**values), origins, variables, tuple(findings), blank)


def apply_overlay(resolved: ResolvedSettings, overlay: Overlay) -> ResolvedSettings:
    """The settings with what other tools' names decide, and the overlay's warnings."""
    decided: dict[str, Any] = {name.lower(): value for name, value in overlay.settings.items()}
    warnings = (item for item in overlay.findings if item.severity is Severity.WARNING)
    return replace(
        resolved,
        values=replace(resolved.values, **decided),
        origins={**resolved.origins, **dict.fromkeys(overlay.settings, Origin.DOTENV)},
        findings=(*resolved.findings, *warnings),
        overlay=overlay,
    )


def list_possible_variables(names: Iterable[str]) -> frozenset[str]:
    """Names that `stack.yml` may mean when it cannot be read: all but settings and what looks like a mistyped one."""
    known = (*setting_names(), *name_keys())
    return frozenset(name for name in names if name not in known and not suggest_nearest(name, known))


def check_secrets(settings: Settings, env_file: str, used: Collection[str] = ()) -> None:
    """Refuse to start without the keys: an empty key would leave the gateway open or closed to everyone.

    Args:
        used: secrets that services read, as settings are named in `.env`; an app's password is asked for where it is
            among them, since not every service of an app runs in every runtime.

    Raises:
        ConfigError: a key is not set; names each.
    """
    made = [item for item in fields(Settings) if is_generated(item, settings.stack_apps)]
    needed = [item.name for item in made if not item.metadata["app"] or item.name.upper() in used]
    missing = [name.upper() for name in needed if not getattr(settings, name)]
    findings = [
        Finding(
            name,
            "is not set; the stack does not start without it",
            f"run 'stackctl init' to generate {name}",
            file=env_file,
        )
        for name in missing
    ]
    if findings:
        raise ConfigError("A secret is not set.", findings[0].hint, findings)
    if settings.gateway_key == settings.gateway_admin_key:
        finding = Finding(
            "GATEWAY_ADMIN_KEY",
            "is the same as GATEWAY_KEY; every client would be an administrator",
            "empty GATEWAY_ADMIN_KEY and run 'stackctl init' to generate another",
            file=env_file,
        )
        raise ConfigError("The keys are not usable.", finding.hint, (finding,))
    _check_own_keys(settings, env_file, used)


def _check_own_keys(settings: Settings, env_file: str, used: Collection[str]) -> None:
    """Refuse two callers of the gateway with one key: nobody could tell whose usage it is.

    Raises:
        ConfigError: a service's key is another's, too; names each.
    """
    owners = {settings.gateway_key: "GATEWAY_KEY", settings.gateway_admin_key: "GATEWAY_ADMIN_KEY"}
    findings = []
    for name in sorted(name for name in used if name.endswith("_GATEWAY_KEY")):
        owner = owners.setdefault(getattr(settings, name.lower()), name)
        if owner != name:
            hint = f"empty {name} and run 'stackctl init' to generate another"
            findings.append(Finding(name, f"is the same as {owner}", hint, file=env_file))
    raise_config_error("The keys are not usable.", findings)


def pick_source(name: str, sources: Sequence[Mapping[str, str]]) -> tuple[str | None, Origin]:
    """The text of a setting as it was given, and the source that gave it.

    Args:
        sources: values by name in upper case, in the order of ``Origin``, of which the last ones may be left out.

    Returns:
        The text and its origin; ``None`` and ``DEFAULT`` where no source has the name.
    """
    for source, origin in zip(sources, Origin, strict=False):
        # An empty value means "not set", as in Compose's ${NAME:-default}.
        if source.get(name):
            return source[name], origin
    return None, Origin.DEFAULT


def _check_known(dotenv: DotenvFile, allowed: frozenset[str]) -> list[Finding]:
    known = {*setting_names(), *allowed}
    found = []
    for name in dotenv.values:
        if name not in known:
            nearest = suggest_nearest(name, known)
            hint = nearest or f"remove {name}, or name it in stack.yml if a provider needs it"
            found.append(
                Finding(name, "is not a setting of this stack", hint, file=dotenv.path, line=dotenv.lines[name])
            )
    return found


def _describe_problem(item: Field[Any], problem: str, origin: Origin, file: DotenvFile) -> Finding:
    name = item.name.upper()
    hint = f"empty {name} and run 'stackctl init' to generate one" if item.metadata["generated"] else f"correct {name}"
    in_file = origin in (Origin.DOTENV, Origin.RELEASE)
    place = {"file": file.path, "line": file.lines[name]} if in_file else {"file": f"({origin})", "line": 0}
    return Finding(name, problem, hint, Severity.ERROR, **place)  # type: ignore[arg-type]
