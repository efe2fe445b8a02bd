"""Bring a model file that is already on this machine into the models folder, checked and recorded.

In: path of a file. Out: a ``BroughtModel``. Does I/O through its effects.
"""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from stackctl.core.download.hub import Reference
from stackctl.core.models.catalog import Catalog
from stackctl.core.models.checksums import Checksum
from stackctl.errors import ConfigError, Finding, Severity
from stackctl.operations.effects import Effects, Files
from stackctl.operations.models.folder import (
    ADDING_SUFFIX,
    PARTIAL_FOLDER,
    BroughtFile,
    BroughtModel,
    StoreEffects,
    check_space,
    find_models_dir,
    hash_model,
    judge_model,
    load_checksum,
    make_reporter,
    save_checksum,
)
from stackctl.operations.site.catalog import load_catalog
from stackctl.operations.site.load_settings import load_settings

BY_HAND = "a file"


@dataclass(frozen=True, slots=True)
class _Step:
    """One file that is being added: a ``staged`` copy waits for its name; None where the file is used as it is."""

    source: Path
    target: Path
    sha256: str
    staged: Path | None


def run_add(effects: Effects, store: StoreEffects, path: Path, move: bool = False) -> BroughtModel:
    """Copy a model, all its shards, into the models folder; nothing is visible before all of it is there.

    Args:
        path: path of any file of the model.
        move: whether to rename instead of copying, where both are on one file system.

    Raises:
        ConfigError: the file is of no whole model, there is no space, or another content has the name.
    """
    folder = find_models_dir(effects.paths, load_settings(effects)[0].values)
    if store.load_size(path) is None:
        raise ConfigError(f"{path}: no such file.", "name the .gguf file to bring into the models folder")
    files, catalog = effects.files.load_model_files(path), load_catalog(effects)
    sources = [Path(file.path) for file in files]
    known = catalog.find_files(sources[0].name)
    setting, warnings = judge_model(files, f"{path.name} is not added.", known[0][0].use if known else None)
    with ExitStack() as locks:
        for source in sources:
            lock = folder / PARTIAL_FOLDER / f"{source.name}.lock"
            locks.enter_context(store.hold_download(lock, source.name))
        steps = _stage_all(effects, store, folder, sources, move)
        added = [_finish(effects, store, catalog, step, move) for step in reversed(steps)]
    compared = [item for step in steps for item in _compare(catalog, step)]
    return BroughtModel(tuple(reversed(added)), setting, (*warnings, *compared))


def _stage_all(effects: Effects, store: StoreEffects, folder: Path, sources: list[Path], move: bool) -> list[_Step]:
    """Digests of all files, and copies of those that cannot just be renamed."""
    targets = [folder / source.name for source in sources]
    is_rename = move and all(store.is_same_file_system(source, folder) for source in sources)
    absent = [pair for pair in zip(sources, targets, strict=True) if store.load_size(pair[1]) is None]
    if not is_rename:
        check_space(store, folder, sum(store.load_size(source) or 0 for source, _ in absent))
    steps: list[_Step] = []
    try:
        for source, target in zip(sources, targets, strict=True):
            is_absent = (source, target) in absent
            steps.append(_stage(effects, store, source, target, is_copied=is_absent and not is_rename))
    except BaseException:
        for step in steps:
            _discard(effects.files, step)
        raise
    return steps


def _stage(effects: Effects, store: StoreEffects, source: Path, target: Path, *, is_copied: bool) -> _Step:
    if is_copied:
        staged = target.parent / PARTIAL_FOLDER / f"{target.name}{ADDING_SUFFIX}"
        report = make_reporter(effects, f"copying {source.name}", store.load_size(source) or 0)
        try:
            return _Step(source, target, store.copy_file(source, staged, report), staged)
        except BaseException:
            effects.files.remove_file(staged)
            raise
    sha256 = hash_model(effects, store, source)
    is_there = target != source and store.load_size(target) is not None
    if is_there and hash_model(effects, store, target) != sha256:
        message = f"{target} is here already with another content; it was not touched"
        raise ConfigError(f"{message}.", f"rename {source.name}, or remove the other file first")
    return _Step(source, target, sha256, None)


def _finish(effects: Effects, store: StoreEffects, catalog: Catalog, step: _Step, move: bool) -> BroughtFile:
    was_here = store.load_size(step.target) is not None
    if not was_here:
        store.place_file(step.staged or step.source, step.target)
    record = load_checksum(effects.files, step.target)
    origin = _find_source(catalog, step)
    if record is None or record.sha256 != step.sha256:
        record = Checksum(step.sha256, origin)
        save_checksum(effects.files, step.target, record)
    if move and step.staged is not None:
        effects.files.remove_file(step.source)
    size = store.load_size(step.target) or 0
    return BroughtFile(step.target.name, size, step.sha256, record.source, was_here, origin != BY_HAND)


def _discard(files: Files, step: _Step) -> None:
    if step.staged is not None:
        files.remove_file(step.staged)


def _find_source(catalog: Catalog, step: _Step) -> str:
    """The catalog's name of the file, if the catalog has that very digest; else the word for a file added by hand."""
    for model, file in catalog.find_files(step.target.name):
        if model.repo and file.known_sha256 == step.sha256:
            return Reference(repo=model.repo, file=file.name, revision=model.revision or "").render_text()
    return BY_HAND


def _compare(catalog: Catalog, step: _Step) -> list[Finding]:
    entries = [file for _, file in catalog.find_files(step.target.name) if file.known_sha256]
    if not entries or any(file.known_sha256 == step.sha256 for file in entries):
        return []
    message = f"has the name of a catalog file and another content: SHA-256 {step.sha256}"
    hint = "that is fine for another quantisation of the same model; otherwise pull it from the catalog"
    return [Finding("sha256", message, hint, Severity.WARNING, step.target.name)]
