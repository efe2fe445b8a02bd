"""Check the models folder, all problems in one run: headers, completeness, digests.

In: names of models, or none for all. Out: a ``CheckedFile`` for each. Reads through its effects; writes nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from stackctl.core.download.hub import Reference
from stackctl.core.models.catalog import Catalog
from stackctl.core.models.checksums import SUFFIX, Checksum
from stackctl.core.models.files import ModelFile, ModelMode, build_model_header, check_model_files
from stackctl.core.models.folder import CONFIG
from stackctl.core.models.gguf import build_shard_names
from stackctl.core.models.requests import DEMO_MODEL_FILE, ModelRequest, build_requests, rename_chat
from stackctl.errors import ConfigError, Finding, Severity, suggest_nearest
from stackctl.operations.effects import Effects
from stackctl.operations.models.check_folder import check_folder_files
from stackctl.operations.models.checked_file import CheckedFile, show_path
from stackctl.operations.models.folder import (
    ADDING_SUFFIX,
    PARTIAL_FOLDER,
    StoreEffects,
    find_models_dir,
    hash_model,
    load_checksum,
)
from stackctl.operations.site.catalog import load_catalog
from stackctl.operations.site.load_settings import load_settings


@dataclass(frozen=True, slots=True)
class _Group:
    """The files of one model, asked for by a setting or just lying there."""

    first: Path
    setting: str
    mode: ModelMode | None
    names: frozenset[str]
    by_vllm: bool = False


def verify_models(effects: Effects, store: StoreEffects, names: Sequence[str] = ()) -> tuple[CheckedFile, ...]:
    """Check every file of the models folder and every configured model, or only those named.

    Args:
        names: file names, paths in the folder, catalog names, served names or settings.

    Raises:
        ConfigError: a name is none of these, or the settings cannot be read.
    """
    resolved, stackfile = load_settings(effects)
    folder = find_models_dir(effects.paths, resolved.values)
    demo = str(effects.paths.data_root / "models" / DEMO_MODEL_FILE)
    requests = build_requests(resolved.values, stackfile, str(effects.paths.site), demo)
    requests = rename_chat(requests, resolved.overlay.chat_name)
    catalog = load_catalog(effects)
    groups = _list_groups(store, folder, requests, catalog)
    if names:
        groups = _select(groups, names)
    checked = [file for group in groups for file in _check_group(effects, store, folder, catalog, group)]
    return tuple(checked) if names else (*checked, *_find_leftovers(store, folder))


def _list_groups(
    store: StoreEffects, folder: Path, requests: Iterable[ModelRequest], catalog: Catalog
) -> tuple[_Group, ...]:
    """Configured models first, then what else lies in the folder."""
    groups: dict[Path, _Group] = {}
    for request in requests:
        path = Path(request.path)
        first = path.parent / build_shard_names(path.name)[0]
        mode: ModelMode = "chat" if request.mode == "chat" else "embedding"
        before = groups.get(first)
        asked = {request.served_name, request.setting} | (before.names if before else set())
        is_chat = "chat" in (mode, before.mode if before else mode)
        names = frozenset(asked | _list_names(first, folder, catalog))
        setting = before.setting if before else request.setting
        groups[first] = _Group(first, setting, "chat" if is_chat else mode, names, request.is_vllm)
    for path in store.list_files(folder, CONFIG):
        if path.name == CONFIG:
            first = path.parent
            names = frozenset({first.name, show_path(first, folder), str(first)})
            groups.setdefault(first, _Group(first, "model", None, names, by_vllm=True))
    for path in store.list_files(folder, ".gguf"):
        first = path.parent / build_shard_names(path.name)[0]
        groups.setdefault(first, _Group(first, "model", None, _list_names(first, folder, catalog)))
    return tuple(groups.values())


def _list_names(first: Path, folder: Path, catalog: Catalog) -> frozenset[str]:
    """The names by which a person may mean the model."""
    shards = build_shard_names(first.name)
    known = {name for name, model in catalog.models.items() if any(file.name in shards for file in model.files)}
    paths = {show_path(first.parent / shard, folder) for shard in shards}
    return frozenset({*known, *shards, *paths, *(str(first.parent / shard) for shard in shards)})


def _select(groups: tuple[_Group, ...], names: Sequence[str]) -> tuple[_Group, ...]:
    known = frozenset().union(*(group.names for group in groups))
    unknown = [name for name in names if name not in known]
    if unknown:
        hint = suggest_nearest(unknown[0], known) or "run 'stackctl models verify' without a name to check everything"
        listed = ", ".join(f"'{name}'" for name in unknown)
        raise ConfigError(f"No model of this site: {listed}.", hint)
    return tuple(group for group in groups if group.names.intersection(names))


def _check_group(
    effects: Effects, store: StoreEffects, folder: Path, catalog: Catalog, group: _Group
) -> list[CheckedFile]:
    files = effects.files.load_model_files(group.first)
    header = build_model_header(files)
    mode = group.mode or ("embedding" if header and header.is_embedding else "chat")
    if files[0].folder is not None and group.by_vllm:
        return check_folder_files(effects, store, folder, group.setting, files[0].folder, mode)
    by_file: dict[str, list[Finding]] = {file.path: [] for file in files}
    for finding in check_model_files(group.setting, str(group.first), files, mode, by_vllm=group.by_vllm):
        by_file.get(finding.file, by_file[files[0].path]).append(finding)
    return [_check_file(effects, store, folder, catalog, file, by_file) for file in files]


def _check_file(
    effects: Effects,
    store: StoreEffects,
    folder: Path,
    catalog: Catalog,
    file: ModelFile,
    by_file: Mapping[str, list[Finding]],
) -> CheckedFile:
    path, findings = Path(file.path), list(by_file[file.path])
    size = store.load_size(path)
    expected = _list_expected(load_checksum(effects.files, path), catalog, path.name)
    sha256 = hash_model(effects, store, path) if expected and size is not None else ""
    for origin, digest in expected.items():
        if sha256 and sha256 != digest:
            message = f"the content is not the one in the {origin}: SHA-256 {sha256}, expected {digest}"
            hint = f"remove {path.name} and bring it again ('stackctl models pull' or 'models add')"
            findings.append(Finding("sha256", message, hint, file=file.path))
    return CheckedFile(show_path(path, folder), size or 0, sha256, tuple(expected) if sha256 else (), tuple(findings))


def _list_expected(record: Checksum | None, catalog: Catalog, name: str) -> dict[str, str]:
    """Digests to compare with, each by where it is from.

    Two people's quantisations of one model often have one file name: the catalog speaks for a file only if it is
    from there, or if nobody knows where it is from.
    """
    expected = {"record": record.sha256} if record else {}
    for model, file in catalog.find_files(name):
        origin = Reference(repo=model.repo or "", file=name, revision=model.revision or "").render_text()
        if file.known_sha256 and (record is None or record.source == origin):
            expected["catalog"] = file.known_sha256
    return expected


def _find_leftovers(store: StoreEffects, folder: Path) -> list[CheckedFile]:
    """Findings on records of files that are gone, and on downloads that were never finished; neither stops anything."""
    found = []
    for record in store.list_files(folder, f".gguf{SUFFIX}"):
        path = record.with_name(record.name.removesuffix(SUFFIX))
        if store.load_size(path) is None:
            hint = f"bring it again, or remove {record.name}"
            found.append((path, 0, Finding("record", "was here once and is gone", hint, Severity.WARNING, str(path))))
    for path in store.list_files(folder / PARTIAL_FOLDER, ".partial"):
        is_copy = path.name.endswith(ADDING_SUFFIX)
        command, what = ("add", "copy") if is_copy else ("pull", "download")
        hint = f"run 'stackctl models {command}' again, or remove {path}"
        finding = Finding(what, "is not finished", hint, Severity.WARNING, str(path))
        found.append((path, store.load_size(path) or 0, finding))
    return [CheckedFile(show_path(path, folder), size, "", (), (finding,)) for path, size, finding in found]
