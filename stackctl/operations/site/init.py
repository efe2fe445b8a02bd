"""Make a folder a site: `.env` with fresh keys, `stack.yml`, `models/`. What is there already stays.

In: a folder. Out: a line for each file. Does I/O through its effects.
"""

from __future__ import annotations

import json
from dataclasses import fields

from stackctl.core.bundle.format.installed_paths import CURRENT, FILES, OFFLINE_FOLDER, SETTINGS_FILE
from stackctl.core.settings.dotenv import parse_dotenv, set_values
from stackctl.core.settings.reference import render_env_example
from stackctl.core.settings.settings import Settings, is_generated
from stackctl.core.settings.sources import pick_source
from stackctl.core.settings.stackfile_reader import build_schema
from stackctl.core.stack.checks import check_site_path
from stackctl.errors import ConfigError
from stackctl.operations.effects import Effects

CHECKOUT_SCHEMA, SCHEMA = "docs/reference/stack.schema.json", "stack.schema.json"
README = "Put GGUF files here and name them in ../.env (CHAT_MODEL, CODE_MODEL, EMBEDDING_MODEL).\n"


def run_init(effects: Effects) -> tuple[str, ...]:
    """Make what is missing, and generate keys that are empty.

    Returns:
        What was done, a line for each file.

    Raises:
        ConfigError: `.env` is there and cannot be read, or no stack could start from this folder; nothing was changed.
    """
    check_site_path(str(effects.paths.site))
    done = list(complete_env(effects, says_kept=True))
    for name in ("stack.yml",):
        path = effects.paths.site / name
        if effects.files.load_text(path) is None:
            text = effects.files.load_text(effects.paths.data_root / name) or ""
            if (
                effects.paths.site != effects.paths.data_root
            ):  # a site that is no checkout has the schema beside the file
                text = text.replace(CHECKOUT_SCHEMA, SCHEMA)
                effects.files.save_text(effects.paths.site / SCHEMA, json.dumps(build_schema(), indent=2) + "\n", 0o644)
                done.append(f"created  {effects.paths.site / SCHEMA}")
            effects.files.save_text(path, text, 0o644)
            done.append(f"created  {path}")
        else:
            done.append(f"kept     {path}")
    if (
        effects.paths.site != effects.paths.data_root
        and effects.files.load_text(effects.paths.site / "models" / "README.txt") is None
    ):
        effects.files.save_text(effects.paths.site / "models" / "README.txt", README, 0o644)
        done.append(f"created  {effects.paths.site / 'models'}")
    return tuple(done)


def complete_env(effects: Effects, *, release: str = CURRENT, says_kept: bool = False) -> tuple[str, ...]:
    """Make `.env`, or generate the keys that it lacks.

    Args:
        release: path below the folder of releases of the one whose settings say which apps there are, too.
        says_kept: whether a file that needed nothing is worth a line.

    Raises:
        ConfigError: `.env` is there and cannot be read; it was not changed.
    """
    env_file = effects.paths.site / ".env"
    text = effects.files.load_text(env_file)
    before = parse_dotenv(text or "")
    unreadable = [finding for finding in before.findings if finding.subject == "syntax"]
    if unreadable:
        raise ConfigError(f"{env_file} cannot be read; it was not changed.", unreadable[0].hint, unreadable)
    packed = effects.files.load_text(effects.paths.site / OFFLINE_FOLDER / release / FILES / SETTINGS_FILE)
    sources = (effects.given.flags, effects.given.environment, before.values, parse_dotenv(packed or "").values)
    apps = pick_source("STACK_APPS", sources)[0] or ""
    names = [item.name.upper() for item in fields(Settings) if is_generated(item, apps)]
    missing = {name: effects.machine.make_key() for name in names if not before.values.get(name)}
    if text is None or missing:
        effects.files.save_text(env_file, set_values(render_env_example() if text is None else text, missing), 0o600)
        verb = "created" if text is None else "completed"
        return (f"{verb}  {env_file} (mode 0600) with fresh keys: {', '.join(missing)}",)
    return (f"kept     {env_file}",) if says_kept else ()
