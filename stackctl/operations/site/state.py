"""What ``up`` chose, kept for the commands after it in a small JSON file: runtime, device, release."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from stackctl.core.machine.host import parse_runtime_name
from stackctl.core.site.site_state import SiteState

if TYPE_CHECKING:
    from stackctl.operations.effects import Files, Paths

STATE_FILE = "state.json"


def load_state(files: Files, paths: Paths) -> SiteState | None:
    """The state of the last ``up``; ``None`` when the stack was not started here, or the file is not ours.

    A site that was moved keeps its state; a copy of a site has started nothing, whatever the copied file says.
    """
    text = files.load_text(paths.state_dir / STATE_FILE)
    try:
        values = json.loads(text or "")
        before = {
            "release": "",
            "site": str(paths.site),
            "gpu_access": "",
        }  # what an earlier version did not write
        known = {name: str({**before, **values}[name]) for name in SiteState.__slots__}
        state = SiteState(parse_runtime_name(known.pop("runtime")), **known)
    except (ValueError, KeyError, TypeError, AttributeError):
        return None
    return None if _is_copy(files, paths, state) else state


def find_former_site(paths: Paths, state: SiteState) -> Path | None:
    """The folder from which a running stack was started, if its site was moved since."""
    return Path(state.site) if state.site not in ("", str(paths.site)) else None


def _is_copy(files: Files, paths: Paths, state: SiteState) -> bool:
    former = find_former_site(paths, state)
    if former is None:
        return False
    original, here = (site / paths.state_dir.name / STATE_FILE for site in (former, paths.site))
    return files.load_text(original) is not None and not files.is_same_file(original, here)


def save_state(files: Files, paths: Paths, state: SiteState) -> None:
    """Keep the state for later commands."""
    files.save_text(paths.state_dir / STATE_FILE, json.dumps(asdict(state), indent=2) + "\n", 0o600)


def clear_state(files: Files, paths: Paths) -> None:
    """Remove the state: the stack is down."""
    files.remove_file(paths.state_dir / STATE_FILE)
