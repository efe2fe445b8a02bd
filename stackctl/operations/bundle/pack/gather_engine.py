"""The engine of the process runtime that a bundle carries, where one for a GPU, or a named one, is asked for.

In: an ``EngineRequest``. Out: a ``GatheredEngine``. Does I/O through its effects: the engine is run.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from stackctl.core.apps.catalog import choose_apps
from stackctl.core.bundle.format.installed_paths import ENGINE_FILES
from stackctl.core.bundle.format.manifest import PackedEngine
from stackctl.core.bundle.pack.engine_files import ENGINE_LICENCE, EngineFacts, title_engine
from stackctl.core.bundle.pack.sbom import Component
from stackctl.core.engine.choice import EngineForm
from stackctl.core.engine.engines import LLAMA_CPP
from stackctl.core.site.loaded_site import LoadedSite
from stackctl.errors import BundleError, Finding, Severity
from stackctl.operations.bundle.pack.gather import Gathered, Sources, pack_paths
from stackctl.operations.effects import Effects

_HINT = (
    "give --engine FILE with a llama-server that was built for it, or --allow-cpu-engine for a site that is to compute"
    " on its CPU"
)


@dataclass(frozen=True, slots=True)
class EngineRequest:
    """The engine that a bundle is to carry.

    Attributes:
        program: path that the user named; None takes this machine's where the site's GPU needs one.
        allow_cpu: whether a site with a GPU may be given an engine for its CPU only.
    """

    program: Path | None = None
    allow_cpu: bool = False


@dataclass(frozen=True, slots=True)
class GatheredEngine:
    """An engine as content; or none, where the wheels bring one for the CPU."""

    packed: PackedEngine | None = None
    content: Gathered = field(default_factory=Gathered)
    components: tuple[Component, ...] = ()


def gather_engine(
    effects: Effects,
    sources: Sources,
    loaded: LoadedSite,
    request: EngineRequest,
    inspect: Callable[[Path], EngineFacts],
    warn: Callable[[Finding], None],
) -> GatheredEngine:
    """Find, run and describe the engine that the bundle carries.

    Raises:
        BundleError: a GPU's engine is wanted and there is none, or the engine that was given does not run or answer
            here.
    """
    if loaded.process.uses_vllm:
        message = "vLLM's own program is not in the bundle, and the process runtime does not install it"
        hint = "see that the site has it before it is cut off: VLLM_PROGRAM, docs/guides/models.md"
        warn(Finding("vllm", message, hint, Severity.WARNING))
    for app in (app for app in choose_apps(loaded.settings) if app.programs):
        packages = " ".join(dict.fromkeys(program.package for program in app.programs))
        message = "its programs are not in the bundle, and the process runtime does not install them"
        hint = f"see that the site has them before it is cut off: apt-get install {packages}"
        warn(Finding(f"app {app.name}", message, hint, Severity.WARNING))
    gpu = loaded.settings.stack_gpu
    if not loaded.process.uses_engine and request.program is None:
        return GatheredEngine()
    is_wanted = gpu not in ("auto", "none")
    program = request.program or (_find_own(loaded.choice.form) if is_wanted else None)
    facts = inspect(program) if program else None
    if is_wanted and not request.allow_cpu and (facts is None or facts.gpu != gpu):
        seen = f"{program} is built for {_name(facts.gpu)}" if facts else "the only engine here is built for the CPU"
        raise BundleError(f"The site is to have {_name(gpu)}, and {seen}.", _HINT)
    if facts is None or (request.program is None and facts.gpu != gpu):
        return GatheredEngine()
    effects.terminal.report(f"asking {facts.program} the demo's question")
    result = effects.engines.ask((facts.program,), {})
    if result.failure:
        raise BundleError(f"{facts.program} {result.failure}.", "give another --engine", _list_log(result.log))
    if not facts.finds_gpu:
        message = f"{facts.program} is built for {_name(facts.gpu)} and finds none here: it was not tried on one"
        warn(Finding("--engine", message, "pack where such a GPU is, or try it at the site", Severity.WARNING))
    for name in facts.unexpected:
        message = f"{name} does not travel with the engine, and not every site has it"
        warn(Finding("--engine", message, "see that the site has it, or build the engine without", Severity.WARNING))
    return _describe(facts, sources)


def _describe(facts: EngineFacts, sources: Sources) -> GatheredEngine:
    paths = [Path(facts.program), *(Path(item.path) for item in facts.carried)]
    content = pack_paths(ENGINE_FILES, paths, sources, lambda size: None)
    digests = {PurePosixPath(file.path).name: file.sha256 for file in content.files}
    program = PurePosixPath(facts.program).name
    components = [Component("engine", program, facts.version, digests[program], ENGINE_LICENCE, "llama.cpp")]
    components += [
        Component("library", item.name, "", digests[PurePosixPath(item.path).name], item.licence)
        for item in facts.carried
    ]
    packed = PackedEngine(
        path=f"{ENGINE_FILES}/{program}",
        title=title_engine(program, facts.version, facts.gpu),
        gpu=facts.gpu,
        glibc=facts.glibc,
        driver=facts.driver,
    )
    return GatheredEngine(packed, content, tuple(components))


def _find_own(form: EngineForm) -> Path | None:
    """Path of the binary that this machine's stack runs or would run; None for a Python package, which has none."""
    return Path(form.command[0]) if form.engine is LLAMA_CPP else None


def _list_log(lines: tuple[str, ...]) -> tuple[Finding, ...]:
    return tuple(Finding("it said", line) for line in lines[-5:])


def _name(gpu: str) -> str:
    return {"none": "the CPU", "nvidia": "an NVIDIA GPU", "amd": "an AMD GPU", "vulkan": "a Vulkan GPU"}[gpu]
