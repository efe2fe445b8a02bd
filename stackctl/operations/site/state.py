"""What ``up`` decided, kept for the commands after it: which runtime and which device. A small JSON file."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path

from stackctl.operations.effects import Effects

STATE_FILE = "state.json"


@dataclass(frozen=True, slots=True)
class State:
    """The running stack's choices.

    Attributes:
        gpu: what the engines were given: "none", "nvidia", "amd" or "vulkan".
        device: the same in words, with the reason.
        project: Compose's project name when it was started.
        release: title of the installed release that it was started from; empty where there was none.
        site: the site's folder when it was started.
        gpu_access: how containers reach an NVIDIA GPU: "toolkit" or "cdi".
    """

    runtime: str
    gpu: str
    device: str
    project: str
    release: str = ""
    site: str = ""
    gpu_access: str = ""

    @property
    def by_cdi(self) -> bool:
        """Whether containers get NVIDIA's GPUs as CDI devices."""
        return self.gpu_access == "cdi"


def load_state(effects: Effects) -> State | None:
    """The state of the last ``up``; ``None`` when the stack was not started here, or the file is not ours.

    A site that was moved keeps its state; a copy of a site has started nothing, whatever the copied file says.
    """
    text = effects.load_text(effects.state_dir / STATE_FILE)
    try:
        values = json.loads(text or "")
        before = {"release": "", "site": str(effects.site), "gpu_access": ""}  # what an earlier version did not write
        state = State(**{name: str({**before, **values}[name]) for name in State.__slots__})
    except (ValueError, KeyError, TypeError, AttributeError):
        return None
    return None if _is_copy(effects, state) else state


def find_former_site(effects: Effects, state: State) -> Path | None:
    """The folder from which a running stack was started, if its site was moved since."""
    return Path(state.site) if state.site not in ("", str(effects.site)) else None


def _is_copy(effects: Effects, state: State) -> bool:
    former = find_former_site(effects, state)
    if former is None:
        return False
    original, here = (site / effects.state_dir.name / STATE_FILE for site in (former, effects.site))
    return effects.load_text(original) is not None and not effects.is_same_file(original, here)


def save_state(effects: Effects, state: State) -> None:
    """Keep the state for the next command."""
    effects.save_text(effects.state_dir / STATE_FILE, json.dumps(asdict(state), indent=2) + "\n", 0o600)


def clear_state(effects: Effects) -> None:
    """Forget it: the stack is down."""
    effects.remove_file(effects.state_dir / STATE_FILE)
