"""What ``up`` decided, kept for the commands after it: which runtime and which device. A small JSON file."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path

from stackctl.core.machine.host import parse_runtime_name
from stackctl.core.site.site_state import SiteState
from stackctl.operations.effects import Effects

STATE_FILE = "state.json"


def load_state(effects: Effects) -> SiteState | None:
    """The state of the last ``up``; ``None`` when the stack was not started here, or the file is not ours.

    A site that was moved keeps its state; a copy of a site has started nothing, whatever the copied file says.
    """
    text = effects.load_text(effects.state_dir / STATE_FILE)
    try:
        values = json.loads(text or "")
        before = {"release": "", "site": str(effects.site), "gpu_access": ""}  # what an earlier version did not write
        known = {name: str({**before, **values}[name]) for name in SiteState.__slots__}
        state = SiteState(parse_runtime_name(known.pop("runtime")), **known)
    except (ValueError, KeyError, TypeError, AttributeError):
        return None
    return None if _is_copy(effects, state) else state


def find_former_site(effects: Effects, state: SiteState) -> Path | None:
    """The folder from which a running stack was started, if its site was moved since."""
    return Path(state.site) if state.site not in ("", str(effects.site)) else None


def _is_copy(effects: Effects, state: SiteState) -> bool:
    former = find_former_site(effects, state)
    if former is None:
        return False
    original, here = (site / effects.state_dir.name / STATE_FILE for site in (former, effects.site))
    return effects.load_text(original) is not None and not effects.is_same_file(original, here)


def save_state(effects: Effects, state: SiteState) -> None:
    """Keep the state for the next command."""
    effects.save_text(effects.state_dir / STATE_FILE, json.dumps(asdict(state), indent=2) + "\n", 0o600)


def clear_state(effects: Effects) -> None:
    """Forget it: the stack is down."""
    effects.remove_file(effects.state_dir / STATE_FILE)
