"""A Hugging Face folder as a model: what is wrong with it, which files it is made of, one header for it. Pure.

In: what an adapter read of the folder (``ModelFolder``). Out: findings and a ``GGUFHeader``, which holds the same facts
in GGUF's words. Only the folder's own files count, not those of folders in it; weights are safetensors or nothing,
because reading a pickle runs the code that it holds.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any, Final

from stackctl.core.models.folder_config import ConfigJsonError, FolderConfig, parse_config
from stackctl.core.models.gguf import GGUFHeader
from stackctl.core.models.safetensors import SafetensorsHeader
from stackctl.errors import Finding, Severity

CONFIG: Final = "config.json"
INDEX: Final = "model.safetensors.index.json"
WEIGHTS: Final = ".safetensors"
# What the adapter reads the text of, where it is there.
TEXTS: Final = (
    CONFIG,
    INDEX,
    "tokenizer_config.json",
    "chat_template.jinja",
    "chat_template.json",
    "adapter_config.json",
)
_TOKENIZERS: Final = ("tokenizer.json", "tokenizer.model", "tekken.json", "vocab.json", "vocab.txt", "spiece.model")
_PICKLES: Final = frozenset({".bin", ".pt", ".pth", ".ckpt", ".pkl", ".pickle"})
# Weights of other programs, code, and our own records: no engine of ours reads them, so they do not travel.
_FOREIGN: Final = _PICKLES | {
    ".gguf", ".h5", ".msgpack", ".mlmodel", ".npz", ".onnx", ".ot", ".partial", ".py", ".sha256", ".tflite"
}  # fmt: skip
_TOOLS: Final = re.compile(r"\btools\b")
_COPY: Final = "copy the folder with 'cp -rL', which copies what links point to"
_WHOLE: Final = "download the whole folder again"


@dataclass(frozen=True, slots=True)
class FolderFile:
    """One file of the folder; links were followed.

    Attributes:
        problem: why the file cannot be read, or why it is no safetensors file; empty for none.
        weights: header of a safetensors file.
        sha256: digest of the file as the hub gave it, where the hub's client wrote it down; else empty.
    """

    name: str
    size_bytes: int
    problem: str = ""
    weights: SafetensorsHeader | None = None
    sha256: str = ""


@dataclass(frozen=True, slots=True)
class ModelFolder:
    """A folder as it was found.

    Attributes:
        path: absolute path of the folder.
        files: the files in it, sorted by name; hidden ones are left out.
        texts: text of each file of ``TEXTS`` that is there.
    """

    path: str
    files: tuple[FolderFile, ...]
    texts: Mapping[str, str]

    @property
    def is_model(self) -> bool:
        """Whether this looks like a model's folder at all."""
        return CONFIG in self.texts or any(file.name.endswith(WEIGHTS) for file in self.files)

    def list_files(self) -> tuple[FolderFile, ...]:
        """The files that the engine needs, ``config.json`` first; weights that an index does not name are not."""
        named = _read_index(self.texts.get(INDEX, ""))
        weights = set(named.values()) if named else None
        needed = [
            file
            for file in self.files
            if PurePosixPath(file.name).suffix.lower() not in _FOREIGN
            and (weights is None or not file.name.endswith(WEIGHTS) or file.name in weights)
        ]
        return tuple(sorted(needed, key=lambda file: (file.name != CONFIG, file.name)))


def check_folder(setting: str, folder: ModelFolder, mode: str) -> tuple[Finding, ...]:
    """Find what is wrong with a folder.

    Args:
        setting: key of `stack.yml` that names the folder; becomes the findings' subject.
        mode: mode that the model is served in.

    Returns:
        Errors (no configuration, tokenizer or weights, pickles only, a shard missing or damaged, a link to nothing)
        and warnings (no chat template, code of its own). Empty when all is well.
    """
    return tuple(
        Finding(setting, message, hint, severity, f"{folder.path}/{name}" if name else folder.path)
        for name, message, hint, severity in (
            *_check_config(folder, mode),
            *_check_tokenizer(folder, mode),
            *_check_weights(folder),
            *_check_index(folder),
            *_check_readable(folder),
        )
    )


Problem = tuple[str, str, str, Severity]


def _check_config(folder: ModelFolder, mode: str) -> Iterator[Problem]:
    if CONFIG not in folder.texts:
        if "adapter_config.json" in folder.texts:
            yield (
                "",
                "this is a LoRA adapter, not a model",
                "name the folder of the model that it adapts",
                Severity.ERROR,
            )
        elif not _find(folder, CONFIG):
            hint = f"name the folder that holds {CONFIG}, tokenizer and weights; {_WHOLE} if it is cut short"
            yield "", f"has no {CONFIG}, so it is no model's folder", hint, Severity.ERROR
        return
    try:
        config = parse_config(folder.texts[CONFIG])
    except ConfigJsonError as error:
        yield CONFIG, str(error), _WHOLE, Severity.ERROR
        return
    if config.runs_own_code:
        message = "names program code of its own, which is not run; the engine must know the model itself"
        yield CONFIG, message, "if it does not start, use a model whose code comes with vLLM", Severity.WARNING
    if mode == "chat" and config.pooling_type is not None:
        message = f"{config.architecture} writes no text, so it cannot be served for chat"
        yield CONFIG, message, "set the model's mode to embedding, or name a model that writes", Severity.ERROR


def _check_tokenizer(folder: ModelFolder, mode: str) -> Iterator[Problem]:
    if not any(_find(folder, name) for name in _TOKENIZERS):
        message = f"has no tokenizer ({_TOKENIZERS[0]}, {_TOKENIZERS[1]} or an older form)"
        yield "", message, _WHOLE, Severity.ERROR
    elif mode == "chat" and folder.is_model and not _find_template(folder):
        message = "has no chat template, so the engine refuses chats"
        yield "", message, "use a model tuned for chat ('instruct')", Severity.WARNING


def _check_weights(folder: ModelFolder) -> Iterator[Problem]:
    weights = [file for file in folder.files if file.name.endswith(WEIGHTS)]
    pickles = [file.name for file in folder.files if PurePosixPath(file.name).suffix.lower() in _PICKLES]
    if not weights and pickles:
        message = f"has its weights as pickles only ({pickles[0]}), and reading one runs the code that it holds"
        yield "", message, "take a revision of it with .safetensors files", Severity.ERROR
    elif not weights:
        yield "", "has no .safetensors file, so no weights", _WHOLE, Severity.ERROR
    for file in folder.list_files():
        if file.weights is None and file.problem and file.name.endswith(WEIGHTS):
            yield file.name, file.problem, "copy or download it again", Severity.ERROR


def _check_index(folder: ModelFolder) -> Iterator[Problem]:
    """Check that every shard is there and holds the tensors that the index says."""
    text = folder.texts.get(INDEX)
    if text is None:
        return
    named = _read_index(text)
    if not named:
        yield INDEX, "has no weight_map of tensors to files of this folder", _WHOLE, Severity.ERROR
        return
    shards = sorted(set(named.values()))
    for shard in shards:
        file = _find(folder, shard)
        if file is None:
            hint = f"put all {len(shards)} shards side by side in the same folder"
            yield shard, f"shard {shard} is missing", hint, Severity.ERROR
        elif file.weights is not None:
            lacking = sorted(name for name, place in named.items() if place == shard and name not in file.weights.names)
            if lacking:
                message = f"does not hold {lacking[0]!r}, which the index says ({len(lacking)} such tensors)"
                yield shard, message, "copy all shards of one model again", Severity.ERROR


def _check_readable(folder: ModelFolder) -> Iterator[Problem]:
    for file in folder.list_files():
        if file.problem and not file.name.endswith(WEIGHTS):
            yield file.name, file.problem, _COPY if "link" in file.problem else "make it readable", Severity.ERROR


def build_folder_header(folder: ModelFolder) -> GGUFHeader | None:
    """One header for the folder, or None while its configuration or its weights cannot be read."""
    files = folder.list_files()
    weights = [file.weights for file in files if file.weights is not None]
    try:
        config = parse_config(folder.texts.get(CONFIG, ""))
    except ConfigJsonError:
        return None
    if not weights or len(weights) != sum(file.name.endswith(WEIGHTS) for file in files):
        return None
    size = sum(file.size_bytes for file in files)
    template = _find_template(folder)
    return GGUFHeader(
        version=0,
        architecture=config.model_type,
        name=PurePosixPath(folder.path).name,
        quantisation=config.quantisation or _name_type(weights),
        size_bytes=size,
        expected_bytes=size,
        tensor_bytes=sum(item.tensor_bytes for item in weights),
        tensor_count=sum(len(item.names) for item in weights),
        parameter_count=sum(item.parameter_count for item in weights),
        has_chat_template=bool(template),
        has_tools=bool(_TOOLS.search(template)),
        is_folder=True,
        **_list_shape(config),
    )


def _list_shape(config: FolderConfig) -> dict[str, Any]:
    return {
        "context_length": config.context_length,
        "block_count": config.block_count,
        "embedding_length": config.embedding_length,
        "feed_forward_length": config.feed_forward_length,
        "head_count": config.head_count,
        "head_count_kv": config.head_count_kv,
        "key_length": config.key_length,
        "value_length": config.value_length,
        "key_length_swa": config.key_length,
        "value_length_swa": config.value_length,
        "sliding_window": config.sliding_window,
        "swa_pattern": config.windowed_layers,
        "has_compressed_kv": config.has_compressed_kv,
        "vocab_size": config.vocab_size,
        "pooling_type": config.pooling_type,
    }


def _name_type(weights: list[SafetensorsHeader]) -> str:
    """The element type that most bytes have."""
    total: dict[str, int] = {}
    for item in weights:
        for dtype, size in item.dtype_bytes.items():
            total[dtype] = total.get(dtype, 0) + size
    return max(total, key=lambda dtype: (total[dtype], dtype), default="")


def _find(folder: ModelFolder, name: str) -> FolderFile | None:
    return next((file for file in folder.files if file.name == name), None)


def _find_template(folder: ModelFolder) -> str:
    """The chat template's text; a configuration may hold several, of which all count."""
    separate = folder.texts.get("chat_template.jinja") or folder.texts.get("chat_template.json")
    if separate:
        return separate
    try:
        values = json.loads(folder.texts.get("tokenizer_config.json", ""))
    except (ValueError, RecursionError):
        return ""
    found = values.get("chat_template") if isinstance(values, dict) else None
    return found if isinstance(found, str) else json.dumps(found) if found else ""


def _read_index(text: str) -> dict[str, str]:
    """File of each tensor; empty for a text that is no index, or that names anything but a file of the folder."""
    try:
        found = json.loads(text)["weight_map"]
    except (ValueError, KeyError, TypeError, RecursionError):
        return {}
    if not isinstance(found, dict):
        return {}
    plain = all(isinstance(file, str) and PurePosixPath(file).name == file and file for file in found.values())
    return {str(name): file for name, file in found.items()} if plain else {}
