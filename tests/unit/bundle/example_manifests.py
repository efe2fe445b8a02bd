"""A manifest as packers make it, and the same with other fields."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from typing import Any

from stackctl.core.bundle.format.manifest import Manifest, encode_manifest
from tests.bundle_builder import ImageBytes, assemble_bundle, make_bytes


def build_example(**content: Any) -> Manifest:
    defaults: dict[str, Any] = {
        "files": {"config/stack.yml": b"models: {}\n"},
        "models": {"chat": make_bytes("chat", 5000)},
        "images": [ImageBytes("api-gateway", [{"bin/run": b"1"}])],
        "bootstrap": {"install.sh": b"#!/bin/sh\n"},
        "part_size": 16384,
        "chunk_bytes": 1000,
    }
    return assemble_bundle(**defaults | content)[0]


EXAMPLE = build_example()

DATA = encode_manifest(EXAMPLE)


def spell(**changes: Any) -> bytes:
    """The example with other fields and an id that fits them."""
    tree = json.loads(DATA) | changes
    return encode(tree | {"id": hash_tree(tree)})


def encode(tree: object) -> bytes:
    return json.dumps(tree, ensure_ascii=False, sort_keys=True, separators=(",", ":")).encode() + b"\n"


def hash_tree(tree: dict[str, Any]) -> str:
    return hashlib.sha256(encode({key: value for key, value in tree.items() if key != "id"})).hexdigest()


def edit(edit: Callable[[dict[str, Any]], object]) -> bytes:
    tree = json.loads(DATA)
    edit(tree)
    return spell(**tree)
