"""Remember what an image is made of: an image that has not changed is not exported again to learn its layers' sizes.

In: a folder and a key. Out: ``ImageContent``. Reads and writes the folder.
"""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

from stackctl.adapters.files.site_files import save_text
from stackctl.core.images.oci import ImageBlob, ImageContent, ImageFacts


def load_image_content(folder: Path, key: str, read: Callable[[], ImageContent]) -> ImageContent:
    """The content of an image, from the cache or, the first time, from ``read``.

    Args:
        key: text that changes when anything of the image changes: its id in a Docker engine with its name, or a digest.
    """
    path = folder / f"{hashlib.sha256(key.encode()).hexdigest()[:32]}.json"
    try:
        return _decode(json.loads(path.read_bytes()))
    except (OSError, ValueError, KeyError, TypeError):
        content = read()
    documents = {digest: base64.b64encode(data).decode() for digest, data in content.documents.items()}
    save_text(path, json.dumps({"facts": asdict(content.facts), "documents": documents}))
    return content


def _decode(value: Any) -> ImageContent:
    facts = dict(value["facts"])
    for name in ("index", "manifest", "config"):
        facts[name] = ImageBlob(**facts[name]) if facts[name] else None
    facts["layers"] = tuple(ImageBlob(**layer) for layer in facts["layers"])
    facts["diff_ids"] = tuple(facts["diff_ids"])
    documents = {str(digest): base64.b64decode(text) for digest, text in value["documents"].items()}
    for digest, data in documents.items():
        if f"sha256:{hashlib.sha256(data).hexdigest()}" != digest:
            raise ValueError(digest)
    return ImageContent(ImageFacts(**facts), documents)
