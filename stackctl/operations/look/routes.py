"""What is tried for each served name and how each server is asked, as ``stackctl config`` shows it.

Reads through its effects.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from stackctl.core.gateway.describe import Row, Sources, describe_routes, describe_servers
from stackctl.core.models.requests import DEMO_MODEL_FILE, build_requests, rename_chat
from stackctl.core.settings.sources import ResolvedSettings
from stackctl.core.settings.stackfile import StackFile
from stackctl.operations.effects import Effects

if TYPE_CHECKING:
    from stackctl.core.bundle.load.release import Release


def load_routes(
    effects: Effects, resolved: ResolvedSettings, stackfile: StackFile, release: Release | None
) -> tuple[list[Row], list[Row]]:
    """Rows of all routes and of all servers; no model file is looked at.

    Raises:
        ConfigError: a model is asked for in a way that cannot be.
    """
    demo = str(effects.paths.data_root / "models" / DEMO_MODEL_FILE)
    requests = build_requests(resolved.values, stackfile, str(effects.paths.site), demo)
    if release:
        requests = release.place_models(requests)
    requests = rename_chat(requests, resolved.overlay.chat_name)
    sources = Sources(resolved.origins, resolved.overlay.places)
    return (
        describe_routes(resolved.values, stackfile, requests, sources),
        describe_servers(resolved.values, stackfile, requests, sources),
    )
