"""What a site's own files and its installed release set: settings and `stack.yml`, before any model is looked at.

In: effects. Out: ``ResolvedSettings``, ``StackFile``, ``Release``. Reads through its effects; writes nothing.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from stackctl.core.bundle.format.installed_paths import CURRENT, OFFLINE_FOLDER
from stackctl.core.settings.dotenv import DotenvFile, parse_dotenv
from stackctl.core.settings.names.overlay import Overlay, build_overlay
from stackctl.core.settings.names.table import list_secret_names, travelling_keys
from stackctl.core.settings.names.values import read_names
from stackctl.core.settings.sources import (
    ResolvedSettings,
    apply_overlay,
    list_possible_variables,
    resolve_settings,
)
from stackctl.core.settings.stackfile import StackFile
from stackctl.core.settings.stackfile_reader import parse_stackfile
from stackctl.core.text.yamltree import parse_yaml
from stackctl.errors import BundleError, ConfigError, Finding, Severity, StackError, raise_config_error

if TYPE_CHECKING:
    from stackctl.core.bundle.load.release import Release
    from stackctl.core.site.site_state import SiteState
    from stackctl.operations.effects import Effects


def load_settings(effects: Effects) -> tuple[ResolvedSettings, StackFile]:
    """Read `.env` and `stack.yml`; problems of both are reported together.

    Raises:
        ConfigError: either file has a problem; names every one with file and line.
    """
    release = load_release(effects)
    return resolve_site(effects, load_dotenv(effects), load_stack_text(effects, release), release)


def resolve_site(
    effects: Effects, dotenv: DotenvFile, text: str, release: Release | None, *, travelling: bool = False
) -> tuple[ResolvedSettings, StackFile]:
    """Put `.env`, the environment, flags and `stack.yml` (as ``text``) together.

    Args:
        travelling: whether only what a bundle takes along may decide: no name of `.env` that is secret or this
            machine's.

    Raises:
        ConfigError: a source has a problem; names every one with file and line.
    """
    findings: list[Finding] = []
    stackfile: StackFile | None = None
    try:
        stackfile = parse_stackfile(text)
    except ConfigError as error:
        findings += error.findings
    try:
        packed = parse_dotenv(release.settings_text, release.settings_path) if release else DotenvFile("")
        overlay = _build_overlay((dotenv, packed), stackfile or StackFile(), travelling)
        findings += overlay.findings if stackfile else overlay.names.findings
        referenced = overlay.stackfile.list_variables() if stackfile else list_possible_variables(dotenv.values)
        if travelling:  # what must not be in a bundle is looked for in it
            referenced |= list_secret_names() & dotenv.values.keys()
        resolved = resolve_settings(dotenv, effects.given.environment, effects.given.flags, referenced, packed)
        resolved = apply_overlay(resolved, overlay)
    except ConfigError as error:
        findings += error.findings
    raise_config_error("The configuration is not usable.", findings)
    stackfile = resolved.overlay.stackfile
    if release is None and effects.files.load_text(effects.paths.site / "stack.yaml") is not None:
        message = "is not read: stack.yml is, which stands beside it"
        hint = "move what it says into stack.yml, or remove it"
        unread = Finding("stack.yaml", message, hint, Severity.WARNING, str(effects.paths.site / "stack.yaml"))
        resolved = replace(resolved, findings=(*resolved.findings, unread))
    return resolved, stackfile


def _build_overlay(files: tuple[DotenvFile, DotenvFile], stackfile: StackFile, travelling: bool) -> Overlay:
    """What the names in `.env` and in the release's settings make of `stack.yml`, each finding at its line."""
    site, release = files
    brought = {name: value for name, value in release.values.items() if name in travelling_keys()}
    names = read_names((site, replace(release, values=brought)))
    overlay = build_overlay(names.keep_travelling() if travelling else names, stackfile)
    lines = {name: (file.path, line) for file in reversed(files) for name, line in file.lines.items()}
    placed = [
        replace(item, file=lines[item.subject][0], line=lines[item.subject][1]) if item.subject in lines else item
        for item in overlay.findings
    ]
    return replace(overlay, findings=tuple(placed))


def load_release(effects: Effects, started: str | None = None) -> Release | None:
    """The installed release that is current, or the one that a stack was started from while that is there.

    Args:
        started: title of that release; empty for the site's own files.

    Raises:
        BundleError: the release is damaged.
        ConfigError: the site has a `stack.yml` of its own that says something else.
    """
    if started == "":
        return None
    current = effects.paths.site / OFFLINE_FOLDER / CURRENT
    text = (_load_manifest(effects, started) if started else None) or effects.files.load_text(current / "bundle.json")
    if text is None and effects.files.is_link(current):
        # Without this the site's own files would decide, and images would be built and pulled.
        raise BundleError(
            f"{current} leads to a release that is not there any more.",
            "load its bundle again with 'stackctl offline-load', or remove the link to go back to the site's own files",
        )
    if text is None:
        return None
    # Reading a manifest takes imports that a site without a release does without.
    from stackctl.operations.site.current_release import read_release

    return read_release(effects, text)


def find_successor(effects: Effects, state: SiteState) -> str:
    """What to do about a release that was loaded since the stack was started; empty where there is none.

    A site whose files cannot be read is for others to report.
    """
    try:
        release = load_release(effects)
    except StackError:
        return ""
    if release is None:
        return ""
    from stackctl.core.bundle.load.release import explain_successor

    return explain_successor(release.manifest, state.release)


def _load_manifest(effects: Effects, title: str) -> str | None:
    from stackctl.core.bundle.load.release import find_short_id, release_folder

    short_id = find_short_id(title)
    folder = effects.paths.site / OFFLINE_FOLDER / release_folder(short_id)
    return effects.files.load_text(folder / "bundle.json") if short_id else None


def load_stack_text(effects: Effects, release: Release | None) -> str:
    """The text of `stack.yml`: the installed release's, or the site's own, empty where there is none.

    Raises:
        ConfigError: only a ``stack.yaml`` is there, which is not read.
    """
    if release:
        return release.stack_text
    text, other = effects.files.load_text(effects.paths.site / "stack.yml") or "", effects.paths.site / "stack.yaml"
    if effects.files.load_text(other) is not None and parse_yaml(text, "stack.yml").value in (None, {"version": 1}):
        raise ConfigError(f"{other} is not read: the file's name is stack.yml.", "mv stack.yaml stack.yml")
    return text


def load_dotenv(effects: Effects) -> DotenvFile:
    """The site's `.env`; an empty one where there is no file."""
    return parse_dotenv(effects.files.load_text(effects.paths.site / ".env") or "")
