"""The adapters of a drill."""

from __future__ import annotations

from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING

from stackctl.adapters.http.drill_client import open_drill_client
from stackctl.adapters.http.drill_servers import run_drill_servers
from stackctl.adapters.process.drill_gateway import DrillGateway, run_drill_gateway
from stackctl.cli.world.runtimes import SiteRuntimes
from stackctl.core.stack.names import GATEWAY
from stackctl.operations.engine.installations import list_installations
from stackctl.operations.look.drill import DrillEffects

if TYPE_CHECKING:
    from stackctl.core.site.loaded_site import LoadedSite
    from stackctl.operations.effects import Effects


def build_drill_effects(effects: Effects, loaded: LoadedSite) -> DrillEffects:
    """The real adapters of a drill with this site's gateway."""

    def run_gateway(configuration: str) -> AbstractContextManager[DrillGateway]:
        _install_gateway(effects, loaded)
        paths = loaded.paths
        return run_drill_gateway(paths.gateway_command, configuration, {"PYTHONPATH": paths.python_path})

    return DrillEffects(run_drill_servers, run_gateway, open_drill_client)


def _install_gateway(effects: Effects, loaded: LoadedSite) -> None:
    """Make the environment that the process runtime's gateway runs in, unless it is there."""
    runtimes = effects.runtimes
    assert isinstance(runtimes, SiteRuntimes)
    wheels = Path(loaded.release.wheels) if loaded.release else None
    item = next(item for item in list_installations(effects.paths.data_root, loaded) if item.title == GATEWAY)
    need = runtimes.build_need(item, loaded.settings.pip_index_url, wheels)
    if not need.is_there():
        effects.terminal.report(f"installing {need.title}")
        need.install(effects.terminal.report)
