"""Look at a started stack: its services, its models, their logs. Changes nothing."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from stackctl.core.health.probes import list_model_names
from stackctl.core.models.served import NO_TOOLS, ServedModel
from stackctl.core.site.loaded_site import LoadedSite
from stackctl.core.stack.runtime import ServiceState
from stackctl.core.stack.stack import find_gateway_url
from stackctl.errors import ConfigError, Finding, NotRunning
from stackctl.operations.access.content_log import check_content_log
from stackctl.operations.access.limits import check_limits
from stackctl.operations.access.state import check_state
from stackctl.operations.effects import Effects, Runtime
from stackctl.operations.site.load import load_site
from stackctl.operations.site.running import check_service_names, find_successor
from stackctl.operations.site.state import load_state


@dataclass(frozen=True, slots=True)
class StackStatus:
    """What runs: the state of each service, in the order of the stack.

    Attributes:
        release: title of the installed release that the stack was started from; empty where there was none.
        notice: what to do about a release that was loaded since; empty where there is none.
        warnings: what a person should know of what runs.
    """

    runtime: str
    device: str
    services: tuple[ServiceState, ...]
    release: str = ""
    notice: str = ""
    warnings: tuple[Finding, ...] = ()


@dataclass(frozen=True, slots=True)
class ModelRow:
    """One served name of the configuration.

    Attributes:
        listed: whether the gateway lists the name; False while the stack is down.
        file, size_bytes, quantisation, context_length, slots: facts of a local model; empty or 0 for a provider's.
    """

    served_name: str
    listed: bool
    file: str
    size_bytes: int
    quantisation: str
    context_length: int
    slots: int
    note: str


def load_status(effects: Effects) -> StackStatus | None:
    """States of the services; ``None`` when the stack is not started."""
    state = load_state(effects.files, effects.paths)
    if state is None:
        return None
    states = tuple(effects.runtimes.find(state).list_states().values())
    if not states:
        return None
    notice = find_successor(effects, state)
    return StackStatus(state.runtime, state.device, states, state.release, notice, _check_state(effects))


def _check_state(effects: Effects) -> tuple[Finding, ...]:
    """What is to be known of the gateway's state; a site whose files cannot be read is for others to report."""
    try:
        return (*check_state(effects), *check_limits(effects), *check_content_log(effects))
    except ConfigError:
        return ()


def list_models(effects: Effects) -> tuple[ModelRow, ...]:
    """Configured models joined with what the gateway lists; works while the stack is down, too."""
    loaded = load_site(effects)
    state = load_state(effects.files, effects.paths)
    stack = loaded.choose_stack(state.runtime if state else "process")
    url = f"{find_gateway_url(loaded.settings)}/v1/models"
    answer = effects.network.fetch(url, key=loaded.settings.gateway_key, timeout_s=5.0)
    listed = list_model_names(answer)
    rows = [
        ModelRow(
            model.served_name,
            model.served_name in listed,
            model.path.rsplit("/", 1)[-1],
            model.size_bytes,
            model.header.quantisation,
            model.context_length,
            model.slots,
            _describe_origin(loaded, model),
        )
        for model in stack.models
    ]
    rows += [
        ModelRow(
            item.served_name,
            item.served_name in listed,
            "",
            0,
            "",
            item.context_length or 0,
            0,
            f"provider {item.provider}",
        )
        for item in stack.endpoints
    ]
    models = {row.served_name for row in rows}
    rows += [
        ModelRow(route.name, route.name in listed, "", 0, "", 0, 0, f"route to {', '.join(route.targets)}")
        for route in stack.gateway.routes
        if route.name not in models
    ]
    return tuple(rows)


def _describe_origin(loaded: LoadedSite, model: ServedModel) -> str:
    """Where a model of ours comes from, when the operator did not put its file there."""
    release = loaded.release
    brought = f"release {release.title}" if release and model.path.startswith(f"{release.store}/") else ""
    tools = NO_TOOLS if model.mode == "chat" and model.takes_tools is False else ""
    return ", ".join(filter(None, ("demo model" if model.is_demo else "", brought, tools)))


def load_logs(effects: Effects, services: tuple[str, ...], lines: int) -> dict[str, str]:
    """The last lines of each service's log, by service."""
    runtime = _find_runtime(effects)
    return {name: runtime.read_log(name, lines) for name in _choose_services(runtime, services)}


def follow_logs(effects: Effects, services: tuple[str, ...], lines: int, write: Callable[[str, str], None]) -> None:
    """Pass on lines of the services' logs until interrupted."""
    runtime = _find_runtime(effects)
    runtime.follow_logs(_choose_services(runtime, services), lines, write)


def _find_runtime(effects: Effects) -> Runtime:
    state = load_state(effects.files, effects.paths)
    if state is None:
        raise NotRunning("The stack is not running: nothing was started from this folder.", "run 'stackctl up'")
    return effects.runtimes.find(state)


def _choose_services(runtime: Runtime, services: tuple[str, ...]) -> tuple[str, ...]:
    names = tuple(sorted(runtime.list_states()))
    check_service_names(names, services)
    return services or names
