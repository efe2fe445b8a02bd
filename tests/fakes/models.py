"""Model files that are there and whole, whatever their names."""

from __future__ import annotations

import json
from pathlib import Path

from stackctl.core.models.files import ModelFile
from stackctl.core.models.folder import FolderFile, ModelFolder
from stackctl.core.models.gguf import GGUFHeader, build_shard_names
from stackctl.core.models.safetensors import SafetensorsHeader
from tests.gguf_files import build_header
from tests.model_folders import CONFIG


def build_model_files(path: Path) -> tuple[ModelFile, ...]:
    """The files of a model that is there and whole; what it is follows from its name."""
    if path.suffix != ".gguf":
        return (ModelFile(str(path), _FOLDER_HEADER, folder=_build_folder(path)),)
    names = build_shard_names(path.name)
    header = _DEMO if path.name == "demo.gguf" else build_header()
    if "embed" in path.name:
        header = build_header(architecture="bert", context_length=512, pooling_type=1)
    return tuple(
        ModelFile(str(path.parent / name), _split(header, number, len(names))) for number, name in enumerate(names)
    )


_DEMO = build_header(size_bytes=5_000_000, expected_bytes=5_000_000, tensor_bytes=4_900_000, context_length=2048)


_FOLDER_HEADER = build_header(is_folder=True, has_tools=True)


def _build_folder(path: Path) -> ModelFolder:
    """A whole Hugging Face folder of two shards."""
    shards = [f"model-0000{number}-of-00002.safetensors" for number in (1, 2)]
    names = sorted(["config.json", *shards, "model.safetensors.index.json", "tokenizer.json"])
    weights = SafetensorsHeader(8, 8, frozenset({"a"}), (8,), 0, 0, {})
    files = tuple(FolderFile(name, 8, weights=weights if name in shards else None) for name in names)
    texts = {
        "config.json": json.dumps({**CONFIG, "max_position_embeddings": 8192}),
        "chat_template.jinja": "{{ messages }}{{ tools }}",
    }
    return ModelFolder(str(path), files, texts)


def _split(header: GGUFHeader, number: int, count: int) -> GGUFHeader:
    changes = {"split_no": number, "split_count": count} if count > 1 else {}
    return build_header(**{name: getattr(header, name) for name in GGUFHeader.__slots__} | changes)
