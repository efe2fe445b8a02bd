"""Render a site to the files that it starts from, write them, and say whether those on disk are current.

In: a ``LoadedSite``. Out: ``RenderedFiles``, a ``StartPlan``. Does I/O through its effects.
"""

from __future__ import annotations

import json
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING

from stackctl.core.apps.lan import CHAIN_VARIABLE, KEY_VARIABLE
from stackctl.core.bundle.format.installed_paths import FILES, KNOWN_ANSWER_FILE
from stackctl.core.gateway.config import NO_KEY
from stackctl.core.gateway.config_check import check_gateway_config
from stackctl.core.machine.host import RuntimeName
from stackctl.core.settings.settings import Settings
from stackctl.core.settings.sources import (
    check_secrets,
)
from stackctl.core.site.loaded_site import LoadedSite
from stackctl.core.stack.names import GATEWAY_CONFIG, LITELLM_FILE, RELAY_FILE
from stackctl.core.stack.render import ALL_TEMPLATES, RenderedFiles, RenderInput, render_files, render_litellm
from stackctl.core.stack.rendered_changes import render_diff
from stackctl.core.stack.runtime import StartPlan
from stackctl.errors import ConfigError, Finding, raise_config_error
from stackctl.operations.effects import Effects, Files
from stackctl.operations.site.load import load_site

if TYPE_CHECKING:
    from stackctl.core.bundle.load.release import Release


def run_render(effects: Effects, out: Path | None) -> tuple[list[tuple[Path, bool]], tuple[Finding, ...]]:
    """Render everything, then write it; a failure writes nothing.

    Returns:
        The path of each file with whether it changed, and warnings.
    """
    loaded = load_site(effects)
    files = render_site(effects, loaded).files
    folder = out or effects.paths.rendered_dir
    return [
        (folder / name, effects.files.save_text(folder / name, text, 0o644)) for name, text in files.items()
    ], loaded.warnings


def render_standalone(effects: Effects, out: Path | None) -> tuple[str, tuple[Finding, ...]]:
    """The configuration of LiteLLM's own proxy with the site's routes, also written to the folder ``out`` if given.

    Returns:
        Its text, and warnings.
    """
    loaded = load_site(effects)
    text = render_litellm(loaded.process, loaded.compose, _load_input(effects, loaded))
    raise_config_error("The rendered LiteLLM configuration is not usable.", check_gateway_config(text))
    if out:
        effects.files.save_text(out / LITELLM_FILE, text, 0o644)
    return text, loaded.warnings


def check_rendered(effects: Effects, out: Path | None) -> str:
    """A diff between the files on disk and those that would be written; empty when they are equal."""
    files = render_site(effects, load_site(effects)).files
    folder = out or effects.paths.rendered_dir
    return render_diff({name: effects.files.load_text(folder / name) or "" for name in files}, files)


def render_site(effects: Effects, loaded: LoadedSite) -> RenderedFiles:
    """Render all files and check the LiteLLM configuration, because LiteLLM ignores what it does not know.

    Raises:
        RenderError, ConfigError: a template is missing or wrong; nothing was written.
    """
    rendered = render_files(loaded.process, loaded.compose, _load_input(effects, loaded))
    raise_config_error(
        "The rendered gateway configuration is not usable.", check_gateway_config(rendered.files[GATEWAY_CONFIG])
    )
    return rendered


def _load_input(effects: Effects, loaded: LoadedSite) -> RenderInput:
    return RenderInput(
        templates={
            template: _load_own_file(effects.files, effects.paths.data_root / template) for template in ALL_TEMPLATES
        },
        process_paths=loaded.paths,
        launcher=(effects.paths.python, "-I", "-S", str(effects.paths.launcher)),
        images=loaded.images,
        state_dir=str(effects.paths.state_dir),
        relay=_load_own_file(effects.files, effects.paths.launcher.with_name(RELAY_FILE)),
    )


def _load_own_file(files: Files, path: Path) -> str:
    text = files.load_text(path)
    if text is None:
        raise ConfigError(f"{path}, a part of stackctl, is missing.", "install stackctl again")
    return text


def build_plan(
    loaded: LoadedSite, rendered: RenderedFiles, runtime: RuntimeName, gpu: str, by_cdi: bool = False
) -> StartPlan:
    """Build the plan: everything that a runtime needs to start.

    Raises:
        ConfigError: a key is not set.
    """
    services = rendered.compose_services if runtime == "compose" else rendered.process_services
    check_secrets(loaded.settings, ".env", {source for service in services for source in service.secrets.values()})
    variables = collect_secrets(loaded)
    secrets = {
        service.name: {name: variables.get(source, "") for name, source in service.secrets.items()}
        for service in services
    }
    override = loaded.override if runtime == "compose" else ""
    stack = loaded.choose_stack(runtime)
    return StartPlan(runtime, stack, services, rendered, gpu, secrets, variables, override, by_cdi)


def collect_secrets(loaded: LoadedSite) -> dict[str, str]:
    """The value of every secret, by its setting's name."""
    own = {
        item.name.upper(): str(getattr(loaded.settings, item.name))
        for item in fields(Settings)
        if item.metadata["secret"]
    }
    pair = {CHAIN_VARIABLE: loaded.pair.chain, KEY_VARIABLE: loaded.pair.key} if loaded.pair else {}
    # Compose and LiteLLM take no empty secret, and a server that wants none takes any.
    return {**dict.fromkeys(loaded.resolved.blank, NO_KEY), **loaded.resolved.variables, **own, **pair}


def load_known_answer(effects: Effects, release: Release | None) -> tuple[str, str]:
    """The question, and its one right answer, that prove the demo model runs."""
    packed = effects.files.load_text(Path(release.folder) / FILES / KNOWN_ANSWER_FILE) if release else None
    if packed is not None:
        known = json.loads(packed)
        return str(known["question"]), str(known["answer"])
    text = effects.files.load_text(effects.paths.data_root / "models" / "demo.json")
    entry = json.loads(text or "{}")["answers"][0]
    return str(entry["question"]), str(entry["answer"])
