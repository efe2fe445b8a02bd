"""Remember which model files each engine was started with, and tell when others lie in their place.

Small JSON in the site's state. An engine reads its file once; a file of that name that is put there later is served by
no engine until a restart.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path, PurePath

from stackctl.core.stack.runtime import ServiceState
from stackctl.core.stack.stack import Service
from stackctl.operations.effects import Effects, Files, Paths

# Runtimes tell whole seconds, so a start may seem earlier than it was.
CLOCK_S = 2.0

Identity = list[int]
Identities = Mapping[str, Mapping[str, Identity]]


def load_identities(files: Files, services: tuple[Service, ...]) -> Identities:
    """The model files of each service, all shards, each with what tells it from another: size, time, inode."""
    return {
        service.name: {path: files.load_facts(Path(path)).identity for path in service.model.shards}
        for service in services
        if service.model
    }


def keep_identities(effects: Effects, identities: Identities, states: Mapping[str, ServiceState]) -> None:
    """Record which files the starts that run now have loaded.

    Args:
        identities: files of each service as they were before anything was started.
    """
    for name, files in identities.items():
        if name in states:
            text = json.dumps({"start": states[name].start, "files": files}, indent=1, sort_keys=True)
            effects.files.save_text(_find_record(effects.paths, name), text + "\n", 0o600)


def find_replaced(effects: Effects, service: Service, state: ServiceState | None) -> str:
    """Name of a model file that is not the one that was loaded; empty when there is none, or nothing is known."""
    if state is None or service.model is None:
        return ""
    start, known = _load_record(effects, service.name)
    for path in service.model.shards:
        facts = effects.files.load_facts(Path(path))
        if known.get(path, facts.identity) == facts.identity:
            continue
        # A start that is not the kept one (its policy restarted it) loaded what was there by then.
        if start == state.start or facts.age_s + CLOCK_S < state.uptime_s:
            return PurePath(path).name
    return ""


def _load_record(effects: Effects, service: str) -> tuple[str, Mapping[str, Identity]]:
    text = effects.files.load_text(_find_record(effects.paths, service))
    try:
        values = json.loads(text or "")
        return str(values["start"]), dict(values["files"])
    except (ValueError, KeyError, TypeError):
        return "", {}


def _find_record(paths: Paths, service: str) -> Path:
    return paths.state_dir / "model-files" / f"{service}.json"
