"""What is tried for each served name and how each server is asked, as ``stackctl config`` shows it, and whether a name
leads to the demo model.

Reads through its effects.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from stackctl.core.gateway.describe import Row, Sources, describe_routes, describe_servers
from stackctl.core.gateway.providers import list_endpoints
from stackctl.core.gateway.routes import list_asked
from stackctl.core.models.requests import DEMO_MODEL_FILE, ModelRequest, build_requests, rename_chat
from stackctl.core.settings.sources import ResolvedSettings
from stackctl.core.settings.stackfile import StackFile
from stackctl.errors import ConfigError, Finding, Severity
from stackctl.operations.effects import Effects
from stackctl.operations.site.load_settings import load_release

if TYPE_CHECKING:
    from stackctl.core.bundle.load.release import Release


def load_routes(
    effects: Effects, resolved: ResolvedSettings, stackfile: StackFile, release: Release | None
) -> tuple[list[Row], list[Row]]:
    """Rows of all routes and of all servers; no model file is looked at.

    Raises:
        ConfigError: a model is asked for in a way that cannot be.
    """
    requests = _load_requests(effects, resolved, stackfile, release)
    sources = Sources(resolved.origins, resolved.overlay.places)
    return (
        describe_routes(resolved.values, stackfile, requests, sources),
        describe_servers(resolved.values, stackfile, requests, sources),
    )


def find_demo(effects: Effects, resolved: ResolvedSettings, stackfile: StackFile, name: str) -> tuple[Finding, ...]:
    """A warning where it is the demo model that a request for this name is tried at first.

    A site whose models cannot be served has none: what it started before may still answer.
    """
    try:
        requests = _load_requests(effects, resolved, stackfile, load_release(effects))
    except ConfigError:
        return ()
    models = [*(item.served_name for item in requests), *(item.served_name for item in list_endpoints(stackfile))]
    first = list_asked(stackfile, models, name)[0]
    if not any(item.is_demo and item.served_name == first for item in requests):
        return ()
    hint = "set CHAT_MODEL in .env to a GGUF file in models/ and run 'stackctl up', or name another with --model"
    message = "is the demo model, whose answers have the right form and no meaning"
    return (Finding(name, message, hint, Severity.WARNING),)


def _load_requests(
    effects: Effects, resolved: ResolvedSettings, stackfile: StackFile, release: Release | None
) -> tuple[ModelRequest, ...]:
    demo = str(effects.paths.data_root / "models" / DEMO_MODEL_FILE)
    requests = build_requests(resolved.values, stackfile, str(effects.paths.site), demo)
    if release:
        requests = release.place_models(requests)
    return rename_chat(requests, resolved.overlay.chat_name)
