"""The models of the configuration, joined with what the gateway lists. Reads through its effects; changes nothing."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from stackctl.core.health.probes import list_model_names
from stackctl.core.models.served import NO_TOOLS
from stackctl.core.settings.places import find_gateway_url
from stackctl.operations.site.load import load_site
from stackctl.operations.site.state import load_state

if TYPE_CHECKING:
    from stackctl.core.models.served import ServedModel
    from stackctl.core.site.loaded_site import LoadedSite
    from stackctl.operations.effects import Effects


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
