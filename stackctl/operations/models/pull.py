"""Download a model: resolve its name, ask what the server has, check space, transfer, check, and only then show it.

In: the model's name. Out: a ``BroughtModel``. Does I/O through its effects. Nothing carries a model's own name before
all its files are whole: downloads grow in ``MODELS_DIR/.partial``.
"""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path

from stackctl.core.download.hub import Source, build_catalog_sources, build_sources, parse_reference
from stackctl.core.download.refusals import explain_by_hand, explain_unreachable
from stackctl.core.download.remote_file import RemoteFile
from stackctl.core.download.transfer import GO_ON_HINT, HostUnreachable, check_announced, choose_offset, parse_partial
from stackctl.core.models.catalog import CatalogModel
from stackctl.core.models.checksums import Checksum
from stackctl.core.models.files import ModelFile
from stackctl.core.models.gguf import GGUFError
from stackctl.core.settings.settings import Settings
from stackctl.core.text.progress import write_size
from stackctl.errors import ConfigError, Finding, RuntimeFailure, suggest_nearest
from stackctl.operations.effects import Effects
from stackctl.operations.models.connection import Connection, probe
from stackctl.operations.models.folder import (
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
from stackctl.operations.models.transfer import FileTransfer
from stackctl.operations.site.catalog import load_catalog
from stackctl.operations.site.load_settings import load_settings


@dataclass(frozen=True, slots=True)
class _Job:
    effects: Effects
    store: StoreEffects
    settings: Settings
    folder: Path

    def target(self, source: Source) -> Path:
        return self.folder / source.name

    def partial(self, source: Source) -> Path:
        return self.folder / PARTIAL_FOLDER / f"{source.name}.partial"

    def record(self, source: Source) -> Path:
        return self.folder / PARTIAL_FOLDER / f"{source.name}.json"


def run_pull(effects: Effects, store: StoreEffects, name: str) -> BroughtModel:
    """Download a model into the site's models folder, or go on with a download that was interrupted.

    Args:
        name: name in the catalog, ``hf:owner/repo/file.gguf[@revision]`` or an address; any shard stands for all.

    Raises:
        ConfigError: the name, the token, the space or the file that came is not right.
        RuntimeFailure: the server cannot be reached or keeps failing; what came stays for the next run.
    """
    settings = load_settings(effects)[0].values
    job = _Job(effects, store, settings, find_models_dir(effects.paths, settings))
    entry, sources = _resolve(effects, settings, name)
    with ExitStack() as locks:
        for source in sources:
            lock = job.folder / PARTIAL_FOLDER / f"{source.name}.lock"
            locks.enter_context(store.hold_download(lock, source.name))
        return _pull_all(job, entry, sources)


def _resolve(effects: Effects, settings: Settings, name: str) -> tuple[CatalogModel | None, tuple[Source, ...]]:
    reference = parse_reference(name)
    if reference is not None:
        return None, build_sources(reference, settings.hf_endpoint)
    catalog = load_catalog(effects)
    entry = catalog.models.get(name)
    if entry is None:
        hint = suggest_nearest(name, catalog.models) or "run 'stackctl models recommend' for the names"
        raise ConfigError(f"'{name}' is not in the catalog.", hint)
    sources = build_catalog_sources(entry, settings.hf_endpoint)
    if not sources:
        raise ConfigError(f"'{name}' is no download: it is part of stackctl.", "leave CHAT_MODEL empty to serve it")
    return entry, sources


def _pull_all(job: _Job, entry: CatalogModel | None, sources: tuple[Source, ...]) -> BroughtModel:
    done: dict[str, BroughtFile] = {}
    missing: list[Source] = []
    for source in sources:
        found = _find_present(job, source) if source.sha256 else None
        if found:
            done[source.name] = found
        else:
            missing.append(source)
    if missing:
        _check_online(job, missing[0])
        with_facts = _ask_all(job, missing)
        absent = [(source, remote) for source, remote in with_facts if not _note_present(job, source, done)]
        _check_room(job, [source for source, _ in absent])
        for source, remote in absent:
            done[source.name] = _download(job, source, remote)
    setting, warnings = _check_whole(job, entry, sources, done)
    # The first shard is the one that is named in settings: it appears last.
    for source in reversed(sources):
        _place(job, source, done[source.name])
    return BroughtModel(tuple(done[source.name] for source in sources), setting, warnings)


def _check_online(job: _Job, source: Source) -> None:
    if job.settings.hf_hub_offline:
        message = "HF_HUB_OFFLINE is set, so this machine must not reach out for models"
        raise RuntimeFailure(f"{message}. {explain_by_hand(source)}", "unset HF_HUB_OFFLINE, or bring the file by hand")


def _ask_all(job: _Job, sources: list[Source]) -> list[tuple[Source, RemoteFile]]:
    """Ask the server about each file; each source comes back with what it lacked."""
    found = []
    for source in sources:
        job.effects.terminal.report(f"asking for {source.origin}")
        try:
            remote = probe(_connect(job, source))
        except HostUnreachable as error:
            raise explain_unreachable(source, error) from error
        check_announced(source, remote)
        sha256, size = source.sha256 or remote.sha256, source.size_bytes or remote.size_bytes
        found.append((replace(source, sha256=sha256, size_bytes=size), remote))
    return found


def _connect(job: _Job, source: Source) -> Connection:
    bundle = job.settings.build_ca_bundle
    ca_bundle = job.effects.paths.site / bundle if bundle else None
    return Connection(job.effects, job.store, source, job.settings.hf_token, ca_bundle)


def _note_present(job: _Job, source: Source, done: dict[str, BroughtFile]) -> bool:
    found = _find_present(job, source)
    if found:
        done[source.name] = found
    return found is not None


def _find_present(job: _Job, source: Source) -> BroughtFile | None:
    """The file, if one with the right content is here already.

    Raises:
        ConfigError: a file of that name with another content is here.
    """
    path = job.target(source)
    size = job.store.load_size(path)
    if size is None:
        return None
    recorded = load_checksum(job.effects.files, path)
    is_size_right = not source.size_bytes or size == source.size_bytes
    if recorded and is_size_right and (recorded.sha256 == source.sha256 or not source.sha256):
        return BroughtFile(source.name, size, recorded.sha256, recorded.source, True, bool(source.sha256))
    sha256 = hash_model(job.effects, job.store, path) if is_size_right else ""
    if not sha256 or (source.sha256 and sha256 != source.sha256):
        message = f"{path} is here already with another content than {source.origin}; it was not touched"
        raise ConfigError(f"{message}.", f"rename or remove {path.name}, then run the command again")
    return BroughtFile(source.name, size, sha256, source.origin, True, bool(source.sha256))


def _check_room(job: _Job, absent: list[Source]) -> None:
    """Check the space: an unfinished file has its blocks already, even where the download starts over in it."""
    present = {source: job.store.load_size(job.partial(source)) or 0 for source in absent}
    check_space(job.store, job.folder, sum(max(source.size_bytes - present[source], 0) for source in absent))


def _find_offset(job: _Job, source: Source, remote: RemoteFile) -> int:
    record = parse_partial(job.effects.files.load_text(job.record(source)))
    return choose_offset(record, job.store.load_size(job.partial(source)) or 0, source, remote)


def _download(job: _Job, source: Source, remote: RemoteFile) -> BroughtFile:
    """Bring one file to its end under its unfinished name, and compare its digest."""
    record = parse_partial(job.effects.files.load_text(job.record(source)))
    offset = _find_offset(job, source, remote)
    if offset:
        job.effects.terminal.report(f"going on with {source.name}: {write_size(offset)} are here")
    reporter = make_reporter(job.effects, f"checking the first part of {source.name}", offset)
    with job.store.open_partial(job.partial(source), offset, reporter) as partial:
        validator = record.validator if record and offset else ""
        try:
            FileTransfer(_connect(job, source), partial, job.record(source), validator).run()
        except HostUnreachable as error:
            # A hub may be reached where the storage that it redirects to is not.
            if partial.position:
                raise HostUnreachable(error.message, error.hint or GO_ON_HINT) from error
            raise explain_unreachable(source, error) from error
        finally:
            size, sha256 = partial.position, partial.compute_sha256()
            if not size:  # nothing to go on with
                _drop(job, source)
    if source.sha256 and sha256 != source.sha256:
        _drop(job, source)
        message = f"{source.origin} arrived with the wrong content: SHA-256 {sha256}, expected {source.sha256}"
        raise ConfigError(f"{message}. It was removed.", "run the command again; if it stays wrong, check HF_ENDPOINT")
    return BroughtFile(source.name, size, sha256, _pin_origin(source, remote), False, bool(source.sha256))


def _pin_origin(source: Source, remote: RemoteFile) -> str:
    """Where the file is from, with the commit that a branch stood for today."""
    name, at, _ = source.origin.rpartition("@")
    return f"{name}{at}{remote.commit}" if source.is_hub and remote.commit else source.origin


def _drop(job: _Job, source: Source) -> None:
    job.effects.files.remove_file(job.record(source))
    job.effects.files.remove_file(job.partial(source))


def _check_whole(
    job: _Job, entry: CatalogModel | None, sources: tuple[Source, ...], done: dict[str, BroughtFile]
) -> tuple[str, tuple[Finding, ...]]:
    """Check the headers of all files together; the line of `.env`, and warnings.

    Raises:
        ConfigError: the files are no model that can be served; what was downloaded is removed.
    """
    files = tuple(_load(job, source, done[source.name]) for source in sources)
    try:
        return judge_model(files, f"{sources[0].origin} is no model that can be served.", entry.use if entry else None)
    except ConfigError:
        for source in sources:
            _drop(job, source)
        raise


def _load(job: _Job, source: Source, file: BroughtFile) -> ModelFile:
    path = job.target(source) if file.was_here else job.partial(source)
    try:
        return ModelFile(source.name, job.store.load_header(path))
    except GGUFError as error:
        return ModelFile(source.name, error=error)


def _place(job: _Job, source: Source, file: BroughtFile) -> None:
    target = job.target(source)
    if not file.was_here:
        if job.store.load_size(target) is not None:
            raise ConfigError(f"{target} appeared meanwhile; it was not touched.", "run the command again")
        job.store.place_file(job.partial(source), target)
        job.effects.files.remove_file(job.record(source))
    if not file.was_here or load_checksum(job.effects.files, target) is None:
        save_checksum(job.effects.files, target, Checksum(file.sha256, file.source))
