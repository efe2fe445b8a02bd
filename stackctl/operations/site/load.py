"""Load a site: ``.env``, the environment, ``stack.yml`` and the models' headers to a Stack and its rendered files."""

from __future__ import annotations

import json
from dataclasses import fields, replace
from pathlib import Path
from typing import TYPE_CHECKING

from stackctl.core.bundle.format.installed_paths import CURRENT, FILES, KNOWN_ANSWER_FILE, OFFLINE_FOLDER
from stackctl.core.gateway.config import NO_KEY, check_gateway_config
from stackctl.core.machine.host import RuntimeName
from stackctl.core.models.files import ModelFile, ModelMode, build_model_header, check_model_files
from stackctl.core.models.gguf import GGUFHeader
from stackctl.core.models.served import (
    DEMO_MODEL_FILE,
    ModelRequest,
    build_requests,
    build_served_models,
    check_contexts,
)
from stackctl.core.settings.dotenv import DotenvFile, parse_dotenv
from stackctl.core.settings.locate import locate_findings
from stackctl.core.settings.provider_checks import check_provider_keys
from stackctl.core.settings.settings import Settings
from stackctl.core.settings.sources import (
    ResolvedSettings,
    check_secrets,
    list_possible_variables,
    resolve_settings,
)
from stackctl.core.settings.stackfile import StackFile
from stackctl.core.settings.stackfile_reader import parse_stackfile
from stackctl.core.site.loaded_site import LoadedSite
from stackctl.core.stack.checks import check_engine_variables, check_site_path
from stackctl.core.stack.compose_view import RELAY_FILE
from stackctl.core.stack.render import (
    GATEWAY_CONFIG,
    OVERRIDE_FILE,
    OVERRIDE_NAMES,
    TEMPLATES,
    RenderedFiles,
    RenderInput,
    render_files,
)
from stackctl.core.stack.runtime import StartPlan
from stackctl.core.stack.stack import Stack, build_stack
from stackctl.core.text.yamltree import parse_yaml
from stackctl.errors import BundleError, ConfigError, Finding, Severity, raise_config_error
from stackctl.operations.effects import Effects, Files
from stackctl.operations.engine.engines import choose_compose_engine, choose_process_engine
from stackctl.operations.engine.installations import build_runtime_paths
from stackctl.operations.site.catalog import suggest_pulls
from stackctl.operations.site.image_choice import load_images

if TYPE_CHECKING:
    from stackctl.core.bundle.load.release import Release


def load_settings(effects: Effects) -> tuple[ResolvedSettings, StackFile]:
    """Read `.env` and `stack.yml`; problems of both are reported together.

    Raises:
        ConfigError: every problem found, with file and line.
    """
    release = load_release(effects)
    return _resolve(effects, load_dotenv(effects), _load_stack_text(effects, release), release)


def _resolve(
    effects: Effects, dotenv: DotenvFile, text: str, release: Release | None
) -> tuple[ResolvedSettings, StackFile]:
    findings: list[Finding] = []
    stackfile: StackFile | None = None
    try:
        stackfile = parse_stackfile(text)
    except ConfigError as error:
        findings += error.findings
    try:
        referenced = list_possible_variables(dotenv.values) if stackfile is None else stackfile.list_variables()
        packed = parse_dotenv(release.settings_text, release.settings_path) if release else None
        resolved = resolve_settings(dotenv, effects.given.environment, effects.given.flags, referenced, packed)
    except ConfigError as error:
        findings += error.findings
    raise_config_error("The configuration is not usable.", findings)
    assert stackfile is not None
    if release is None and effects.files.load_text(effects.paths.site / "stack.yaml") is not None:
        message = "is not read: stack.yml is, which stands beside it"
        hint = "move what it says into stack.yml, or remove it"
        unread = Finding("stack.yaml", message, hint, Severity.WARNING, str(effects.paths.site / "stack.yaml"))
        resolved = replace(resolved, findings=(*resolved.findings, unread))
    return resolved, stackfile


def load_release(effects: Effects, started: str | None = None) -> Release | None:
    """The installed release that is current, or the one that a stack was started from while that is there.

    Args:
        started: title of that release; empty for the site's own files.

    Raises:
        BundleError: it is damaged.
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


def _load_manifest(effects: Effects, title: str) -> str | None:
    from stackctl.core.bundle.load.release import find_short_id, release_folder

    short_id = find_short_id(title)
    folder = effects.paths.site / OFFLINE_FOLDER / release_folder(short_id)
    return effects.files.load_text(folder / "bundle.json") if short_id else None


def _load_stack_text(effects: Effects, release: Release | None) -> str:
    if release:
        return release.stack_text
    text, other = effects.files.load_text(effects.paths.site / "stack.yml") or "", effects.paths.site / "stack.yaml"
    if effects.files.load_text(other) is not None and parse_yaml(text, "stack.yml").value in (None, {"version": 1}):
        raise ConfigError(f"{other} is not read: the file's name is stack.yml.", "mv stack.yaml stack.yml")
    return text


def load_dotenv(effects: Effects) -> DotenvFile:
    """The site's `.env`, empty where there is none."""
    return parse_dotenv(effects.files.load_text(effects.paths.site / ".env") or "")


def load_site(effects: Effects, started: str | None = None, *, memory_bytes: int | None = None) -> LoadedSite:
    """Read everything and put both runtimes' stacks together.

    Args:
        started: as ``load_release`` takes it.
        memory_bytes: of the machine that it is for; 0 where that is not known, by default this one's.

    Raises:
        ConfigError: settings, models or `stack.yml` are not usable; nothing was started.
    """
    release = load_release(effects, started)
    dotenv, text = load_dotenv(effects), _load_stack_text(effects, release)
    resolved, stackfile = _resolve(effects, dotenv, text, release)
    memory = effects.machine.load_memory_bytes() if memory_bytes is None else memory_bytes
    try:
        return _build_site(effects, resolved, stackfile, release, memory)
    except ConfigError as error:
        raise locate_findings(error, dotenv, resolved.origins, parse_yaml(text, "stack.yml")) from error


def _build_site(
    effects: Effects, resolved: ResolvedSettings, stackfile: StackFile, release: Release | None, memory_bytes: int
) -> LoadedSite:
    settings = resolved.values
    check_site_path(str(effects.paths.site))
    missing = check_provider_keys(stackfile, resolved.variables, resolved.blank)
    missing += check_engine_variables(stackfile, resolved.variables)
    raise_config_error("A secret that stack.yml names is not set.", missing)
    demo = str(effects.paths.data_root / "models" / DEMO_MODEL_FILE)
    requests = build_requests(settings, stackfile, str(effects.paths.site), demo)
    if release:
        requests = release.place_models(requests)
    headers, shards, sizes, warnings = _load_models(effects, requests)
    choice = choose_process_engine(effects, settings, release)
    engines = {"process": choice.form.engine, "compose": choose_compose_engine(settings)}
    stacks: dict[str, Stack] = {}
    for runtime, engine in engines.items():
        models = build_served_models(settings, requests, headers, shards, sizes, engine.max_slots, memory_bytes)
        stacks[runtime] = build_stack(settings, stackfile, engine, models)
    images, unpinned = load_images(effects, resolved, engines["compose"], release)
    paths = build_runtime_paths(effects, choice)
    findings = (*resolved.findings, *warnings, *unpinned, *check_contexts(requests, headers))
    return LoadedSite(
        resolved,
        stackfile,
        stacks["process"],
        stacks["compose"],
        images,
        choice,
        paths,
        findings,
        release,
        load_override(effects),
    )


def render_site(effects: Effects, loaded: LoadedSite) -> RenderedFiles:
    """Render all files and check the LiteLLM configuration, because LiteLLM ignores what it does not know.

    Raises:
        RenderError, ConfigError: a template is missing or wrong; nothing was written.
    """
    source = RenderInput(
        templates={
            template: _load_own_file(effects.files, effects.paths.data_root / template)
            for template in TEMPLATES.values()
        },
        process_paths=loaded.paths,
        launcher=(effects.paths.python, "-I", "-S", str(effects.paths.launcher)),
        images=loaded.images,
        state_dir=str(effects.paths.state_dir),
        relay=_load_own_file(effects.files, effects.paths.launcher.with_name(RELAY_FILE)),
    )
    rendered = render_files(loaded.process, loaded.compose, source)
    raise_config_error(
        "The rendered gateway configuration is not usable.", check_gateway_config(rendered.files[GATEWAY_CONFIG])
    )
    return rendered


def _load_own_file(files: Files, path: Path) -> str:
    text = files.load_text(path)
    if text is None:
        raise ConfigError(f"{path}, a part of stackctl, is missing.", "install stackctl again")
    return text


def build_plan(
    loaded: LoadedSite, rendered: RenderedFiles, runtime: RuntimeName, gpu: str, by_cdi: bool = False
) -> StartPlan:
    """Everything a runtime needs to start.

    Raises:
        ConfigError: a key is not set.
    """
    check_secrets(loaded.settings, ".env")
    variables = collect_secrets(loaded)
    services = rendered.compose_services if runtime == "compose" else rendered.process_services
    secrets = {
        service.name: {name: variables.get(source, "") for name, source in service.secrets.items()}
        for service in services
    }
    override = loaded.override if runtime == "compose" else ""
    stack = loaded.choose_stack(runtime)
    return StartPlan(runtime, stack, services, rendered, gpu, secrets, variables, override, by_cdi)


def collect_secrets(loaded: LoadedSite) -> dict[str, str]:
    """Every secret's value by its setting's name."""
    own = {
        item.name.upper(): str(getattr(loaded.settings, item.name))
        for item in fields(Settings)
        if item.metadata["secret"]
    }
    # Compose and LiteLLM take no empty secret, and a server that wants none takes any.
    return {**dict.fromkeys(loaded.resolved.blank, NO_KEY), **loaded.resolved.variables, **own}


def load_override(effects: Effects) -> str:
    """The site's own `compose.override.yml`, under whichever of Compose's names; empty where there is none.

    Raises:
        ConfigError: there are several.
    """
    found = {name: text for name in OVERRIDE_NAMES if (text := effects.files.load_text(effects.paths.site / name))}
    if len(found) > 1:
        raise ConfigError(f"{' and '.join(found)} are both in {effects.paths.site}.", f"keep {OVERRIDE_FILE} alone")
    return next(iter(found.values()), "")


def load_known_answer(effects: Effects, release: Release | None) -> tuple[str, str]:
    """The question, and its one right answer, that prove the demo model runs."""
    packed = effects.files.load_text(Path(release.folder) / FILES / KNOWN_ANSWER_FILE) if release else None
    if packed is not None:
        known = json.loads(packed)
        return str(known["question"]), str(known["answer"])
    text = effects.files.load_text(effects.paths.data_root / "models" / "demo.json")
    entry = json.loads(text or "{}")["answers"][0]
    return str(entry["question"]), str(entry["answer"])


def _load_models(
    effects: Effects, requests: tuple[ModelRequest, ...]
) -> tuple[dict[str, GGUFHeader], dict[str, tuple[str, ...]], dict[str, int], list[Finding]]:
    """Headers, shards and sizes by path; every unusable file of every model is reported together."""
    headers: dict[str, GGUFHeader] = {}
    shards: dict[str, tuple[str, ...]] = {}
    sizes: dict[str, int] = {}
    findings: list[Finding] = []
    for request in requests:
        files = effects.files.load_model_files(Path(request.path))
        kind: ModelMode = "chat" if request.mode == "chat" else "embedding"
        findings += check_model_files(request.setting, request.path, files, kind)
        header = build_model_header(files)
        if header is not None:
            headers[request.path] = header
            shards[request.path] = tuple(file.path for file in files)
            sizes[request.path] = _sum_sizes(files)
    if any(finding.severity is Severity.ERROR for finding in findings):
        findings = suggest_pulls(effects, findings)
    raise_config_error("A model cannot be served.", findings)
    return headers, shards, sizes, [f for f in findings if f.severity is Severity.WARNING]


def _sum_sizes(files: tuple[ModelFile, ...]) -> int:
    return sum(file.header.size_bytes for file in files if file.header)
