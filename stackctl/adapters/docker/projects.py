"""Compose projects of a site that nothing else tells of any more. Does I/O: the docker CLI.

The CLI is asked, and not the SDK: ``status`` asks this of each site that is down, and importing the SDK takes 0.1 s.
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path

from stackctl.adapters.machine.commands import run_command
from stackctl.core.stack.names import COMPOSE_FILE

PROJECT_LABEL = "com.docker.compose.project"
FOLDER_LABEL = "com.docker.compose.project.working_dir"
FILES_LABEL = "com.docker.compose.project.config_files"
_ANSWER_S = 30.0
# A JSON list for each container: a label may hold whatever a path may.
_FORMAT = ", ".join(f'{{{{json (.Label "{name}")}}}}' for name in (PROJECT_LABEL, FOLDER_LABEL, FILES_LABEL))
LIST_PROJECTS = ("docker", "ps", "--all", "--filter", f"label={FOLDER_LABEL}", "--format", f"[{_FORMAT}]")


def find_projects(rendered_dir: Path) -> tuple[str, ...]:
    """Compose projects of this site that have containers; none where no Docker engine answers."""
    if shutil.which("docker") is None:
        return ()
    done = run_command(LIST_PROJECTS, _ANSWER_S)
    found = [json.loads(line) for line in done.stdout.splitlines()] if done.code == 0 else []
    folders = (str(rendered_dir), str(rendered_dir.parent.parent))  # with an override it is the site's
    # A site's folder may have a project of its owner's own, too: ours is made of the rendered files.
    own = str(rendered_dir / COMPOSE_FILE)
    return tuple(sorted({project for project, folder, files in found if folder in folders and files.startswith(own)}))
