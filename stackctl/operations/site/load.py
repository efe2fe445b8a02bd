"""Load a site: ``.env``, the environment, ``stack.yml`` and the models' headers to the stack of each runtime.

In: effects. Out: a ``LoadedSite``. Reads through its effects; writes nothing.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from stackctl.core.models.files import ModelFile, ModelMode, build_model_header, check_model_files
from stackctl.core.models.gguf import GGUFHeader
from stackctl.core.models.requests import DEMO_MODEL_FILE, ModelRequest, build_requests, check_contexts, rename_chat
from stackctl.core.models.served import build_served_models
from stackctl.core.settings.locate import locate_findings
from stackctl.core.settings.provider_checks import check_provider_keys
from stackctl.core.settings.settings import Settings
from stackctl.core.settings.sources import (
    ResolvedSettings,
)
from stackctl.core.settings.stackfile import StackFile
from stackctl.core.site.loaded_site import LoadedSite
from stackctl.core.stack.checks import check_engine_variables, check_open_address, check_site_path
from stackctl.core.stack.names import OVERRIDE_FILE, OVERRIDE_NAMES
from stackctl.core.stack.stack import Stack, build_stack
from stackctl.core.text.yamltree import parse_yaml
from stackctl.errors import ConfigError, Finding, Severity, raise_config_error
from stackctl.operations.effects import Effects
from stackctl.operations.engine.engines import choose_compose_engine, choose_process_engine
from stackctl.operations.engine.installations import build_runtime_paths
from stackctl.operations.site.catalog import suggest_pulls
from stackctl.operations.site.image_choice import load_images
from stackctl.operations.site.lan import load_pair, mark_pair, place_certificate
from stackctl.operations.site.load_settings import load_dotenv, load_release, load_stack_text, resolve_site

if TYPE_CHECKING:
    from stackctl.core.bundle.load.release import Release

CERTIFICATE_MARK = "-----BEGIN CERTIFICATE-----"


def load_site(
    effects: Effects, started: str | None = None, *, memory_bytes: int | None = None, travelling: bool = False
) -> LoadedSite:
    """Read everything and put both runtimes' stacks together.

    Args:
        started: title of the release that a stack was started from, as ``load_release`` takes it.
        memory_bytes: memory of the machine that the stack is for; 0 where it is not known, by default this one's.
        travelling: whether it is to be as at another site, without what `.env` says of this one's providers.

    Raises:
        ConfigError: settings, models or `stack.yml` are not usable; nothing was started.
    """
    release = load_release(effects, started)
    dotenv, text = load_dotenv(effects), load_stack_text(effects, release)
    resolved, stackfile = resolve_site(effects, dotenv, text, release, travelling=travelling)
    memory = effects.machine.load_memory_bytes() if memory_bytes is None else memory_bytes
    try:
        return _build_site(effects, resolved, stackfile, release, memory)
    except ConfigError as error:
        renamed = replace(error, findings=[resolved.overlay.rename(finding) for finding in error.findings])
        raise locate_findings(renamed, dotenv, resolved.origins, parse_yaml(text, "stack.yml")) from error


def _build_site(
    effects: Effects, resolved: ResolvedSettings, stackfile: StackFile, release: Release | None, memory_bytes: int
) -> LoadedSite:
    settings, untrusted = _load_ca_bundle(effects, place_certificate(effects, resolved.values))
    pair = load_pair(effects, settings)
    check_site_path(str(effects.paths.site))
    demo = str(effects.paths.data_root / "models" / DEMO_MODEL_FILE)
    requests = build_requests(settings, stackfile, str(effects.paths.site), demo)
    if release:
        requests = release.place_models(requests)
    requests = rename_chat(requests, resolved.overlay.chat_name)
    headers, shards, sizes, warnings = _load_models(effects, requests)
    choice, limits = choose_process_engine(effects, settings, release), effects.machine.load_limits()
    engines = {"process": choice.form.engine, "compose": choose_compose_engine(settings)}
    stacks: dict[str, Stack] = {}
    with _report_together([*untrusted, *_check_variables(resolved, stackfile)]):
        for runtime, engine in engines.items():
            memory = limits.bound_memory(memory_bytes) if runtime == "process" else memory_bytes
            models = build_served_models(settings, requests, headers, shards, sizes, engine.max_slots, memory)
            stacks[runtime] = build_stack(settings, stackfile, engine, models)
    images, unpinned = load_images(effects, resolved, stackfile, engines["compose"], release)
    images = replace(images, needs_inference=stacks["compose"].uses_engine)
    paths = build_runtime_paths(effects, settings, choice, limits.cpus, mark_pair(pair))
    findings = (
        *resolved.findings,
        *check_open_address(settings),
        *warnings,
        *unpinned,
        *check_contexts(requests, headers),
    )
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
        pair,
    )


def _load_ca_bundle(effects: Effects, settings: Settings) -> tuple[Settings, list[Finding]]:
    """The settings with the whole path of GATEWAY_CA_BUNDLE, and what is wrong with that file."""
    if not settings.gateway_ca_bundle:
        return settings, []
    path = effects.paths.site / settings.gateway_ca_bundle
    text = effects.files.load_text(path)
    hint = "name the PEM file of the company's certificate authority, or clear GATEWAY_CA_BUNDLE"
    if text is None:
        return settings, [Finding("GATEWAY_CA_BUNDLE", f"is {path}, which is not there", hint)]
    if CERTIFICATE_MARK not in text:
        return settings, [Finding("GATEWAY_CA_BUNDLE", f"is {path}, which holds no certificate in PEM form", hint)]
    return replace(settings, gateway_ca_bundle=str(path)), []


def _check_variables(resolved: ResolvedSettings, stackfile: StackFile) -> list[Finding]:
    missing = check_provider_keys(stackfile, resolved.variables, resolved.blank)
    return [*missing, *check_engine_variables(stackfile, resolved.variables)]


@contextmanager
def _report_together(findings: list[Finding]) -> Iterator[None]:
    """Report what the body finds together with what was found before it."""
    try:
        yield
    except ConfigError as error:
        raise_config_error(error.message, [*findings, *error.findings])
    raise_config_error("A secret that stack.yml names is not set.", findings)


def load_override(effects: Effects) -> str:
    """The site's own `compose.override.yml`, under whichever of Compose's names; empty where there is none.

    Raises:
        ConfigError: there is more than one such file.
    """
    found = {name: text for name in OVERRIDE_NAMES if (text := effects.files.load_text(effects.paths.site / name))}
    if len(found) > 1:
        raise ConfigError(f"{' and '.join(found)} are both in {effects.paths.site}.", f"keep {OVERRIDE_FILE} alone")
    return next(iter(found.values()), "")


def _load_models(
    effects: Effects, requests: tuple[ModelRequest, ...]
) -> tuple[dict[str, GGUFHeader], dict[str, tuple[str, ...]], dict[str, int], list[Finding]]:
    """Headers, shards and sizes of each model, by path; every unusable file of every model is reported together."""
    headers: dict[str, GGUFHeader] = {}
    shards: dict[str, tuple[str, ...]] = {}
    sizes: dict[str, int] = {}
    findings: list[Finding] = []
    for request in requests:
        files = effects.files.load_model_files(Path(request.path))
        kind: ModelMode = "chat" if request.mode == "chat" else "embedding"
        findings += check_model_files(request.setting, request.path, files, kind, by_vllm=request.is_vllm)
        header = build_model_header(files)
        if header is not None:
            headers[request.path] = header
            shards[request.path] = tuple(path for file in files for path in file.paths)
            sizes[request.path] = _sum_sizes(files)
    if any(finding.severity is Severity.ERROR for finding in findings):
        findings = suggest_pulls(effects, findings)
    raise_config_error("A model cannot be served.", findings)
    return headers, shards, sizes, [f for f in findings if f.severity is Severity.WARNING]


def _sum_sizes(files: tuple[ModelFile, ...]) -> int:
    return sum(file.header.size_bytes for file in files if file.header)
