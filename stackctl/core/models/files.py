"""Whether the files of one model are there, whole and of a kind that the engine loads: GGUF files, or vLLM's folder.

In: what an adapter read of each file (``ModelFile``). Out: findings, and one header for the model. Pure.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import PurePath
from typing import Final, Literal

from stackctl.core.models.folder import ModelFolder, check_folder
from stackctl.core.models.gguf import GGUFError, GGUFHeader, merge_shards, parse_split_name
from stackctl.errors import Finding, Severity, suggest_nearest

ModelMode = Literal["chat", "embedding"]
SHOWN_FILES: Final = 5
MISSING: Final = "no such model file"

_PROJECTORS: Final = ("clip", "mmproj")
# general.type of what is no model -> what it is, and where it belongs.
_KINDS: Final = {
    "adapter": (
        "a LoRA adapter",
        "name the model that it adapts; the adapter goes into that model's arguments in stack.yml, as --lora and its"
        " whole path (process runtime only)",
    ),
    "imatrix": ("an importance matrix, which quantising reads", "name the model's own GGUF file"),
}


@dataclass(frozen=True, slots=True)
class ModelFile:
    """One file of a model as it was found; one that has neither header nor error is missing.

    Attributes:
        path: path of the file, as it should be shown.
        neighbours: GGUF files in the folder of a file that is missing, relative to that folder.
        header: header of the file, if it could be read.
        error: why the file could not be read.
        folder: what is in the Hugging Face folder at this path; None for a file.
    """

    path: str
    header: GGUFHeader | None = None
    error: GGUFError | None = None
    neighbours: tuple[str, ...] = ()
    folder: ModelFolder | None = None

    @property
    def is_missing(self) -> bool:
        """Whether the file does not exist."""
        return self.header is None and self.error is None and self.folder is None

    @property
    def paths(self) -> tuple[str, ...]:
        """Paths of what the engine reads, n >= 1: the file, or the files of the folder, its configuration first."""
        if self.folder is None:
            return (self.path,)
        return tuple(f"{self.path}/{file.name}" for file in self.folder.list_files()) or (self.path,)


def build_model_header(files: Sequence[ModelFile]) -> GGUFHeader | None:
    """One header for a model of n >= 1 files in order, or None while any of them could not be read."""
    headers = [file.header for file in files if file.header is not None]
    return merge_shards(headers) if headers and len(headers) == len(files) else None


def check_model_files(
    setting: str, configured: str, files: Sequence[ModelFile], mode: ModelMode = "chat", *, by_vllm: bool = False
) -> tuple[Finding, ...]:
    """Find what is wrong with the files of one model.

    Args:
        setting: setting that asked for the model (``CHAT_MODEL``); becomes the findings' subject.
        configured: path that was asked for; of a split model the engine wants the first shard.
        files: all files of the model in order, n >= 1.
        mode: mode that the model is served in.
        by_vllm: whether vLLM serves the model, which reads folders; every other engine reads GGUF files.

    Returns:
        Errors (missing, not GGUF, truncated, a shard missing or of another model) and warnings (architecture
        or tensor type unknown, no chat template, an embedding model served for chat). Empty when all is well.
    """
    findings: list[Finding] = []
    if by_vllm or files[0].folder is not None:
        return _check_folder(setting, files[0], mode, by_vllm=by_vllm)
    split = parse_split_name(configured)
    if split and split.number != 1:
        seen = f"{PurePath(configured).name} is shard {split.number} of {split.count}"
        hint = f"set {setting} to {PurePath(files[0].path).name}"
        findings.append(Finding(setting, f"{seen}, the engine starts from the first", hint))
    for file in files:
        findings.extend(_check_file(setting, file, len(files)))
    if any(file.header is None for file in files):
        return tuple(findings)
    headers = [file.header for file in files if file.header is not None]
    findings.extend(_check_split(setting, files, headers))
    findings.extend(_check_contents(setting, files[0].path, merge_shards(headers), mode))
    return tuple(findings)


def _check_folder(setting: str, file: ModelFile, mode: ModelMode, *, by_vllm: bool) -> tuple[Finding, ...]:
    """Check a model that is a folder, or should be one."""
    if file.folder is not None and by_vllm:
        return check_folder(setting, file.folder, mode)
    if file.folder is not None and not file.folder.is_model:
        message, hint = f"not a GGUF file: {file.path} is a folder", "name the .gguf file itself"
    elif file.folder is not None:
        message = "not a GGUF file: this is a Hugging Face folder, which vLLM alone serves"
        hint = "add 'engine: vllm' to the model in stack.yml, or name a .gguf file"
    elif file.is_missing:
        message, hint = "no such model folder", f"put the folder there or correct {setting}"
    else:
        message = "this is a file; vLLM serves Hugging Face folders (config.json, tokenizer, .safetensors)"
        hint = "name the folder, or take 'engine: vllm' away from the model"
    return (Finding(setting, message, hint, file=file.path),)


def _check_file(setting: str, file: ModelFile, count: int) -> list[Finding]:
    """Check that one file is there and whole."""
    if file.is_missing:
        if count > 1:
            hint = f"put all {count} shards side by side in the same folder"
            message = f"shard {PurePath(file.path).name} is missing"
            return [Finding(setting, message, hint, file=file.path)]
        return [Finding(setting, MISSING, suggest_file(setting, file), file=file.path)]
    if file.error is not None:
        return [Finding(setting, file.error.message, file.error.hint, file=file.path)]
    header = file.header
    if header is not None and header.size_bytes < header.expected_bytes:
        seen = f"{header.size_bytes} bytes seen, {header.expected_bytes} expected"
        hint = "copy or download it again"
        return [Finding(setting, f"the file is truncated: {seen}", hint, file=file.path)]
    return []


def suggest_file(setting: str, file: ModelFile) -> str:
    """What to write in place of a file that is missing: the one that was meant, the nearest, or those that are there.

    Letters' case, a folder in front and the ending ``.gguf`` make no difference to what was meant.
    """
    wanted = bare_name(file.path)
    # The engine starts from the first shard, whose ending nobody types.
    splits = {name: parse_split_name(name) for name in file.neighbours}
    names = {name: split.stem if split else name for name, split in splits.items() if not split or split.number == 1}
    meant = next((name for name, stem in names.items() if wanted in (bare_name(name), bare_name(stem))), "")
    if meant:
        return f"set {setting} to {meant}"
    nearest = suggest_nearest(wanted, names)
    if nearest or not names:
        return nearest or f"put the file there or correct {setting}"
    shown = ", ".join([*names][:SHOWN_FILES])
    more = len(names) - SHOWN_FILES
    return f"files there: {shown}" + (f" and {more} more" if more > 0 else "")


def bare_name(path: str) -> str:
    """A model's name without what people leave out or write in another case."""
    return PurePath(path).name.lower().removesuffix(".gguf")


def _check_split(setting: str, files: Sequence[ModelFile], headers: Sequence[GGUFHeader]) -> list[Finding]:
    """Check that the shards belong together."""
    first = headers[0]
    if len(headers) == 1:
        if first.split_count > 1:
            message = f"the file says it is one of {first.split_count} shards, but its name does not"
            hint = f"rename it back to <name>-{first.split_no + 1:05d}-of-{first.split_count:05d}.gguf"
            return [Finding(setting, message, hint, file=files[0].path)]
        return []
    findings = []
    for number, (file, header) in enumerate(zip(files, headers, strict=True)):
        if (header.split_no, header.split_count) != (number, len(files)):
            # The file counts from 0 and its name from 1.
            seen = f"shard {header.split_no + 1} of {header.split_count}"
            message = f"the file says it is {seen}, its name says {number + 1} of {len(files)}"
            findings.append(Finding(setting, message, "copy all shards of one model again", file=file.path))
    tensors = sum(header.tensor_count for header in headers)
    if not findings and first.split_tensor_count and tensors != first.split_tensor_count:
        message = f"the shards hold {tensors} tensors, the first one announces {first.split_tensor_count}"
        findings.append(Finding(setting, message, "copy all shards of one model again", file=files[0].path))
    return findings


def _check_contents(setting: str, path: str, header: GGUFHeader, mode: ModelMode) -> list[Finding]:
    """Check that the model is of a kind that can be served."""
    if header.file_kind in _KINDS:
        kind, hint = _KINDS[header.file_kind]
        return [Finding(setting, f"this is {kind}, not a model", hint, file=path)]
    if header.architecture in _PROJECTORS or header.file_kind in _PROJECTORS:
        message = "this is the vision projector of a model, not the model"
        return [Finding(setting, message, "name the model's own GGUF file", file=path)]
    if not header.architecture or not header.tensor_count:
        seen = "no general.architecture" if not header.architecture else "no tensors"
        message = f"the file has {seen}, so it is a vocabulary or part of a model"
        return [Finding(setting, message, "name a whole model", file=path)]
    findings = []
    if not header.is_known:
        message = f"the architecture '{header.architecture}' is not in the engine's list; it may not load"
        findings.append((message, "use an engine image that lists it, or another model"))
    if header.unknown_types:
        types = ", ".join(str(kind) for kind in sorted(header.unknown_types))
        message = f"tensor type {types} is unknown here: size and memory needed are not fully known"
        findings.append((message, "check that the engine supports it, or use another quantisation"))
    if mode == "chat" and header.is_embedding:
        findings.append(("an embedding model is served for chat", "serve it as EMBEDDING_MODEL"))
    elif mode == "chat" and not header.has_chat_template:
        message = "the file has no chat template, so chats will be formatted by guess"
        findings.append((message, "use a model tuned for chat ('instruct')"))
    return [Finding(setting, message, hint, Severity.WARNING, path) for message, hint in findings]
