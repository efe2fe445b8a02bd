"""Connect an editor, an agent or a library to the gateway: say how, or write it into the tool's own file.

In: a tool's name. Out: what it needs to be told. Does I/O through its effects: asks the gateway which models it has,
looks for programs, and reads and writes a file below the person's home.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path, PurePath

from stackctl.core.connect.choice import (
    choose_models,
    explain_no_answer,
    find_troubles,
    is_too_short,
    read_model,
    read_url,
)
from stackctl.core.connect.edit import edit_text
from stackctl.core.connect.names import Alias, find_aliases
from stackctl.core.connect.show import render_difference
from stackctl.core.connect.tools import TOOLS
from stackctl.core.connect.values import Gateway, Guide, Model, Settings, Tool, fill
from stackctl.core.health.probes import read_json
from stackctl.core.lan.trust import write_note
from stackctl.core.settings.places import find_gateway_url
from stackctl.errors import ConfigError, Finding, NotRunning, Severity, UnhealthyError, suggest_nearest
from stackctl.operations.effects import Effects
from stackctl.operations.look.connect_aliases import AliasChange, load_written_aliases, undo_aliases
from stackctl.operations.look.connect_context import advise_context
from stackctl.operations.look.connect_files import ToolFile, find_home, name_nothing, read_folder
from stackctl.operations.site.load_settings import load_settings

ASK_S = 10.0


@dataclass(frozen=True, slots=True)
class Connected:
    """How one tool reaches the gateway.

    Attributes:
        guide: what it needs to be told; ``KEY`` stands for the key.
        path: its own file on this machine, where it has one.
        findings: what will go wrong with it.
        aliases: names that it asks for by itself, and the models that answer or would have to.
        trust: how it is told of the certificate authority that this command trusted; empty where it need not be.
        is_missing: whether a program of its name is all that it can be, and none is on PATH.
    """

    tool: Tool
    gateway: Gateway
    guide: Guide
    path: Path | None
    findings: tuple[Finding, ...]
    aliases: tuple[Alias, ...] = ()
    trust: str = ""
    is_missing: bool = False


@dataclass(frozen=True, slots=True)
class Undone:
    """What was taken back of a tool.

    Attributes:
        path: its own file; None where it was not written.
        is_there: whether that file was there before it was written.
        aliases: what was taken out of each `stack.yml`.
    """

    path: Path | None
    is_there: bool
    aliases: tuple[AliasChange, ...]


def find_tool(name: str) -> Tool:
    """The tool of that name.

    Raises:
        ConfigError: there is none.
    """
    if name not in TOOLS:
        hint = suggest_nearest(name, TOOLS) or "'stackctl connect' lists them"
        raise ConfigError(f"'{name}' is no tool that is known here.", hint)
    return TOOLS[name]


def list_installed(effects: Effects) -> dict[str, str]:
    """Path of each tool's program on this machine; empty where there is none."""
    return {name: _find_program(effects, tool) for name, tool in TOOLS.items()}


def _find_program(effects: Effects, tool: Tool) -> str:
    return next(filter(None, map(effects.machine.find_program, tool.programs)), "")


def _find_twins(effects: Effects, tool: Tool) -> Iterator[Finding]:
    """A warning where a tool is on PATH more than once, as two versions may want different settings."""
    folders = [Path(name) for name in effects.given.environment.get("PATH", "").split(":") if name]
    for program in tool.programs:
        found: dict[Path, Path] = {}
        for path in (folder / program for folder in folders):
            if (effects.files.load_facts(path).mode or 0) & 0o111:
                found.setdefault(effects.files.find_real(path), path)
        if len(found) > 1:
            first, *others = map(str, found.values())
            message = f"{first} is started, and {', '.join(others)} is another; both read the same settings"
            yield Finding(program, message, "remove the one that you do not use", Severity.WARNING)


def load_key(effects: Effects) -> str:
    """The key that opens the gateway for every client."""
    return load_settings(effects)[0].values.gateway_key


def connect(effects: Effects, name: str, key: str, *, url: str = "", model: str = "") -> Connected:
    """What a tool needs to be told.

    Args:
        key: opens the gateway; only models that it may ask for are offered.
        url: address of a gateway on another machine; empty for the one of this site.
        model: the model to chat with; empty for the first one.

    Raises:
        ConfigError: no such tool, or no such model.
        NotRunning: nothing listens there.
        UnhealthyError: the gateway refuses the key, or answers what is no list of models.
    """
    tool = find_tool(name)
    address = read_url(url) if url else find_gateway_url(load_settings(effects)[0].values)
    models, answered = _load_models(effects, key, address)
    gateway = choose_models(tool, address, models, model)
    authority = _find_authority(effects, address)
    guide = tool.build(replace(gateway, authority=authority))
    path = find_path(guide.settings, effects.given.environment) if guide.settings else None
    aliases = find_aliases(tool, gateway, answered, None if url else load_written_aliases(effects))
    is_ours_to_raise = not url and is_too_short(tool, gateway)
    advice = advise_context(effects, gateway.chat, tool.needs_context) if is_ours_to_raise else ""
    findings = (*find_troubles(tool, gateway, advice), *_find_twins(effects, tool))
    trust = write_note(name, authority)
    is_missing = bool(tool.programs) and not tool.is_extension and not _find_program(effects, tool)
    return Connected(tool, gateway, guide, path, findings, aliases, trust, is_missing)


def _find_authority(effects: Effects, url: str) -> str:
    """Whole path of the file by which this command trusts a gateway elsewhere; empty where it was told of none."""
    file = effects.given.environment.get("SSL_CERT_FILE", "")
    return str(effects.files.find_real(Path(file))) if file and url.startswith("https:") else ""


def write(effects: Effects, connected: Connected, key: str, *, dry_run: bool, force: bool) -> str:
    """Put what a tool needs into its own file, and keep what was there; the difference, the key not shown in it.

    Args:
        force: write also where the file lies in a repository of git.

    Raises:
        ConfigError: the tool has no file that could be written, or the file cannot be changed without a loss.
    """
    settings = connected.guide.settings
    if settings is None or connected.path is None:
        raise ConfigError(
            f"{connected.tool.title} keeps its settings in no file that could be written.",
            f"set what 'stackctl connect {connected.tool.name}' prints",
        )
    file = ToolFile(effects, connected.tool.name, connected.path)
    file.check(force=force)
    with file.hold():
        before = file.load()
        after = _edit(connected, settings, before or "", key)
        if not dry_run and after != before:
            file.save(before, after)
    return render_difference(str(connected.path), before or "", after, key)


def undo(effects: Effects, name: str, *, force: bool) -> Undone:
    """Put a tool's file back as it was before it was first written, and take its aliases out of `stack.yml`.

    Args:
        force: also where the file was changed since, whose changes are lost.

    Raises:
        ConfigError: nothing was written, or the file was changed since.
    """
    find_tool(name)
    file, is_there = ToolFile.find(effects, name), False
    if file:
        with file.hold():
            is_there = file.restore(force=force)
    changes = undo_aliases(effects, name)
    if not file and not changes:
        raise name_nothing(name)
    return Undone(file.path if file else None, is_there, changes)


def find_path(settings: Settings, environment: Mapping[str, str]) -> Path:
    """Where a tool keeps its file for this person; it may have been told another place.

    Raises:
        ConfigError: nothing says where the person's home is.
    """
    path = PurePath(settings.path)
    for variable, folder in _MOVED.items():
        if environment.get(variable) and path.is_relative_to(folder):
            return read_folder(variable, environment[variable]) / path.relative_to(folder)
    return find_home(environment) / path


_MOVED = {"CLAUDE_CONFIG_DIR": ".claude", "CODEX_HOME": ".codex", "XDG_CONFIG_HOME": ".config"}


def _edit(connected: Connected, settings: Settings, text: str, key: str) -> str:
    try:
        return edit_text(settings.kind, text, fill(settings.values, key))
    except ValueError as error:
        raise ConfigError(
            f"{connected.path} stays as it is: {error}; a file of {settings.kind.upper()} was expected.",
            f"mend it, or put in by hand what 'stackctl connect {connected.tool.name}' prints",
        ) from error


def _load_models(effects: Effects, key: str, url: str) -> tuple[list[Model], dict[str, str]]:
    """The models that the key may ask for, and the aliases with the model of each."""
    answer = effects.network.fetch(f"{url}/v1/models?aliases=true", key=key, timeout_s=ASK_S)
    if not answer.status:
        if found := explain_no_answer(url, answer.error):
            raise UnhealthyError(*found)
        raise NotRunning(f"Nothing answers at {url}: {answer.error}.", "run 'stackctl up', or name another with --url")
    if answer.status == 401:
        raise UnhealthyError(f"The gateway at {url} refuses the key.", "take one that 'stackctl keys create' gave out")
    body = read_json(answer)
    items = body.get("data") if answer.status == 200 and body else None
    if not isinstance(items, list):
        raise UnhealthyError(f"{url}/v1/models answered {answer.status}, and no list of models.", "check the address")
    entries = [item for item in items if isinstance(item, Mapping)]
    aliases = {str(item.get("id")): str(item["alias_of"]) for item in entries if "alias_of" in item}
    return [read_model(item) for item in entries if "alias_of" not in item], aliases
