"""Choose a site's apps for good: STACK_APPS in `.env`, and the keys that they need.

In: names of apps. Out: what was changed. Does I/O through its effects.
"""

from __future__ import annotations

from dataclasses import replace

from stackctl.core.settings.dotenv import set_values
from stackctl.core.settings.settings import is_generated, list_settings
from stackctl.core.settings.sources import Origin
from stackctl.errors import ConfigError
from stackctl.operations.effects import Effects
from stackctl.operations.site.init import complete_env
from stackctl.operations.site.load_settings import load_settings

SETTING = "STACK_APPS"


def keep_apps(effects: Effects, names: str) -> tuple[str, ...]:
    """Write these apps to `.env`, so that every later command knows of them, too.

    Args:
        names: names of apps, separated by commas; empty for none.

    Returns:
        What was done, a line each; nothing where `.env` says so already.

    Raises:
        ConfigError: a name is no app's, the site's files are not usable, or the shell sets STACK_APPS; nothing was
            changed.
    """
    with effects.files.hold_lock(effects.paths.state_dir / "lock"):
        load_settings(_suppose(effects, {SETTING: names} if names else {}))
        resolved, _ = load_settings(effects)
        if resolved.origins[SETTING] is Origin.ENVIRONMENT:
            raise ConfigError(f"{SETTING} is set in this shell, and counts before .env.", f"unset {SETTING}")
        path = effects.paths.site / ".env"
        before = effects.files.load_text(path)
        if before is None:
            raise ConfigError(f"{path} is not there.", "run 'stackctl init' first")
        done: tuple[str, ...] = ()
        if resolved.values.stack_apps != names:
            effects.files.save_text(path, set_values(before, {SETTING: names}), 0o600)
            done = (f"completed  {path}: {SETTING}={names}",)
        return (*done, *complete_env(effects))


def suppose_apps(effects: Effects, names: str) -> Effects:
    """The effects as they would be with these apps and their keys, for what only looks."""
    named = _suppose(effects, {SETTING: names})
    resolved, _ = load_settings(named)
    made = [item.name for item in list_settings() if is_generated(item, names)]
    missing = [name for name in made if not getattr(resolved.values, name)]
    return _suppose(named, {name.upper(): f"made-at-the-start-for-{name}" for name in missing})


def _suppose(effects: Effects, flags: dict[str, str]) -> Effects:
    return replace(effects, given=replace(effects.given, flags={**effects.given.flags, **flags}))
