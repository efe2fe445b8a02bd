"""What ``up`` decided, kept for the commands after it: which runtime and which device. A small JSON file."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass

from stackctl.operations.effects import Effects


@dataclass(frozen=True, slots=True)
class State:
    """The running stack's choices.

    Attributes:
        gpu: what the engines were given: "none", "nvidia", "amd" or "vulkan".
        device: the same in words, with the reason.
        project: Compose's project name when it was started.
        release: title of the installed release that it was started from; empty where there was none.
    """

    runtime: str
    gpu: str
    device: str
    project: str
    release: str = ""


def load_state(effects: Effects) -> State | None:
    """The state of the last ``up``; ``None`` when the stack was not started here, or the file is not ours."""
    text = effects.load_text(effects.state_dir / "state.json")
    try:
        values = json.loads(text or "")
        values.setdefault("release", "")  # what an earlier version wrote
        return State(**{name: str(values[name]) for name in State.__slots__})
    except (ValueError, KeyError, TypeError, AttributeError):
        return None


def save_state(effects: Effects, state: State) -> None:
    """Keep the state for the next command."""
    effects.save_text(effects.state_dir / "state.json", json.dumps(asdict(state), indent=2) + "\n", 0o600)


def clear_state(effects: Effects) -> None:
    """Forget it: the stack is down."""
    effects.remove_file(effects.state_dir / "state.json")
