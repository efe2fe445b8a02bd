"""Which engine the process runtime takes here, and the question that it must answer before it counts as installed.

In: settings and the current release. Out: an ``EngineChoice``. Does I/O through its effects: asks engines, keeps
records.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from stackctl.core.engine.build import NATIVE, PORTABLE, Build
from stackctl.core.engine.choice import EngineChoice, EngineForm, choose_form, list_allowed_engines
from stackctl.core.engine.engines import (
    AUTO,
    ENGINE_FOLDER,
    ENGINES,
    LIBRARY_VARIABLE,
    LLAMA_CPP,
    LLAMA_CPP_PYTHON,
    Engine,
    EngineParameters,
    build_environment,
)
from stackctl.core.engine.trial import REPACK_OFF, EngineRecord, TrialResult
from stackctl.core.settings.settings import Settings
from stackctl.core.stack.engine_start import find_accelerator
from stackctl.errors import EngineRefused, RuntimeFailure
from stackctl.operations.effects import Effects, Engines

if TYPE_CHECKING:
    from stackctl.core.bundle.load.release import Release


def choose_process_engine(effects: Effects, settings: Settings, release: Release | None) -> EngineChoice:
    """The engine of the process runtime: the first allowed form that is not known to fail on this machine."""
    forms = list_engine_forms(effects, settings, release)
    return choose_form(forms, lambda item: effects.engines.load_record(item, uses_gpu(settings)))


def choose_compose_engine(settings: Settings) -> Engine:
    """The engine of the containers."""
    return LLAMA_CPP if settings.inference_engine == AUTO else ENGINES[settings.inference_engine]


def list_engine_forms(effects: Effects, settings: Settings, release: Release | None) -> tuple[EngineForm, ...]:
    """The forms in which this machine can have an engine that the settings allow, n >= 1, the preferred one first.

    Args:
        release: the current release; its engine comes first, and nothing can be built, for there is no index.
    """
    wanted = settings.inference_engine
    features = effects.machine.load_cpu_features() if wanted == AUTO else None
    found: list[EngineForm] = []
    for engine in list_allowed_engines(wanted, features):
        if engine is LLAMA_CPP:
            found += [*_list_brought(release), *_list_servers(effects, settings)]
        elif engine is LLAMA_CPP_PYTHON:
            if not release or wanted != AUTO:
                found += [_build_python_form(effects, engine, build) for build in (NATIVE, PORTABLE)]
        else:
            found.append(_build_python_form(effects, engine, None))
    return tuple(found) or (_build_python_form(effects, LLAMA_CPP_PYTHON, NATIVE),)


def _list_brought(release: Release | None) -> list[EngineForm]:
    """The engine that the release brought, with its own libraries before the machine's; none where it brought none."""
    if release is None or not release.engine or not release.manifest.engine:
        return []
    title = f"the release's {release.manifest.engine.title}"
    folder = release.engine.rpartition("/")[0]
    return [EngineForm(LLAMA_CPP, title, (release.engine,), environment={"LD_LIBRARY_PATH": folder})]


def _list_servers(effects: Effects, settings: Settings) -> list[EngineForm]:
    """``llama-server`` on PATH, one that was built for the GPU here and, asked for by name, one built for the CPU."""
    program = effects.machine.find_program("llama-server")
    found = [EngineForm(LLAMA_CPP, f"llama-server on PATH ({program})", (program,))] if program else []
    kinds = ("nvidia", "amd", "vulkan") if settings.stack_gpu == AUTO else (settings.stack_gpu,)
    builds = [build for build in effects.engines.list_gpu_builds() if build.kind in kinds]
    builds += [NATIVE, PORTABLE] if settings.inference_engine != AUTO else []
    return found + [build_server_form(effects.engines, build) for build in builds]


def build_server_form(engines: Engines, build: Build) -> EngineForm:
    """The form of the ``llama-server`` that this build makes."""
    server = str(engines.find_build(build) / "llama-server")
    return EngineForm(LLAMA_CPP, f"llama-server built here ({build.name})", (server,), build)


def _build_python_form(effects: Effects, engine: Engine, build: Build | None) -> EngineForm:
    folder = effects.paths.data_root / ENGINE_FOLDER
    assert engine.launcher is not None
    assert engine.lock_file is not None
    python = effects.engines.find_environment(folder / engine.lock_file, engine.install_variables) / "bin" / "python"
    command = (str(python), str(folder / engine.launcher))
    if build is None:
        return EngineForm(engine, engine.name, command)
    environment = {LIBRARY_VARIABLE: str(effects.engines.find_build(build))}
    return EngineForm(engine, f"{engine.name} ({build.name})", command, build, environment)


def check_engine_left(choice: EngineChoice) -> None:
    """Raise when every allowed form of every engine is known not to work here.

    Raises:
        RuntimeFailure: no engine is left; has what each form did.
    """
    if choice.is_exhausted:
        findings = choice.list_findings()
        raise RuntimeFailure("No engine answers on this machine.", findings[0].hint, findings)


def try_engine(effects: Effects, settings: Settings, choice: EngineChoice) -> bool:
    """Ask the chosen engine unless it has answered here before; whether the choice stays as it was made."""
    if choice.record is not None:
        return True
    record, is_lasting = ask_form(effects, settings, choice.form)
    effects.engines.save_record(choice.form, uses_gpu(settings), record, is_lasting)
    return record.is_plain


def refuse_engine(effects: Effects, settings: Settings, choice: EngineChoice, error: EngineRefused) -> None:
    """Record that the chosen engine could not be installed because it did not answer."""
    effects.terminal.report(f"{choice.form.title} {error.reason}")
    record = EngineRecord(works=False, reason=error.reason)
    effects.engines.save_record(choice.form, uses_gpu(settings), record, error.is_lasting)


def uses_gpu(settings: Settings) -> bool:
    """Whether an engine may compute on a GPU where it finds one."""
    return settings.stack_gpu != "none"


def ask_form(effects: Effects, settings: Settings, form: EngineForm) -> tuple[EngineRecord, bool]:
    """Ask a form without a remedy and, if it fails, with one; what came of it, and whether it would do so again."""
    effects.terminal.report(f"asking {form.title} the demo's question")
    first = _ask(effects.engines, settings, form, {})
    reason = first.failure
    if not reason:
        return EngineRecord(works=True), True
    if first.is_lasting:
        remedy = dict(REPACK_OFF)
        effects.terminal.report(f"{form.title} {reason}; asking it with {EngineRecord(True, remedy).render_remedy()}")
        if not _ask(effects.engines, settings, form, remedy).failure:
            return EngineRecord(works=True, environment=remedy, reason=reason), True
    effects.terminal.report(f"{form.title} {reason}")
    return EngineRecord(works=False, reason=reason), first.is_lasting


def _ask(engines: Engines, settings: Settings, form: EngineForm, remedy: dict[str, str]) -> TrialResult:
    """Ask a form as the stack would start it, with its environment and devices."""
    devices = () if settings.gpu_devices == "all" else tuple(settings.gpu_devices.split(","))
    parameters = EngineParameters(
        model_path="",
        alias="",
        host="",
        port=0,
        context_length=0,
        slots=1,
        accelerator=find_accelerator(settings),
        gpu_devices=devices,
    )
    environment = build_environment(form.engine, parameters) | dict(form.environment) | remedy
    arguments = () if uses_gpu(settings) else ("--n-gpu-layers", "0")
    return engines.ask((*form.command, *arguments), environment)
