"""The adapters of a proof without a network."""

from __future__ import annotations

import sys
from datetime import UTC, datetime

from stackctl.adapters.bundle.offline_folder import OfflineFolder
from stackctl.adapters.docker import image_events
from stackctl.adapters.docker.compose_runtime import ComposeRuntime
from stackctl.adapters.docker.site_images import SiteImages
from stackctl.adapters.process import namespaces
from stackctl.cli.world.loading import find_image_check
from stackctl.core.bundle.format.installed_paths import OFFLINE_FOLDER
from stackctl.operations.bundle.prove.effects import RehearsalEffects
from stackctl.operations.effects import Effects


def build_rehearsal_effects(effects: Effects) -> RehearsalEffects:
    """The real adapters that a rehearsal needs."""

    def rehearse_isolated(wait_timeout_s: float | None) -> str:
        result = effects.paths.state_dir / "prove" / "rehearsal.json"
        effects.files.remove_file(result)
        limit = [] if wait_timeout_s is None else ["--wait-timeout", str(wait_timeout_s)]
        argv = [
            sys.executable,
            "-m",
            "stackctl",
            "--site",
            str(effects.paths.site),
            "offline-prove",
            "--inside",
            str(result),
        ]
        namespaces.run_isolated([*argv, *limit], effects.terminal.report)
        return effects.files.load_text(result) or ""

    return RehearsalEffects(
        make_rehearsal=lambda project, folder, loaded, images: ComposeRuntime(
            project,
            folder,
            SiteImages(loaded=images),
            uses_curl=loaded.compose.engine.launcher is None,
            keeps_state=False,
        ),
        stop_containers=image_events.stop_containers,
        watch_engine=image_events.watch_engine,
        rehearse_isolated=rehearse_isolated,
        watch_namespace=lambda folder: namespaces.watch_namespace(folder, effects.paths.launcher.with_name("watch.py")),
        remove_if_killed=image_events.remove_if_killed,
        now=lambda: datetime.now(UTC),
        folder=OfflineFolder(effects.paths.site / OFFLINE_FOLDER),
        check_images=lambda manifest: find_image_check(effects)(manifest),
    )
