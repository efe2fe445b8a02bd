"""The actions about kept answers. Does I/O through the file of the cache.

They work on the file whether or not a route has a cache now; where there is no file nothing is kept.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from gateway.admin.fields import MAX_MODEL, MAX_NAME, Fields, check_known, read_text, refuse
from gateway.cache.file import FILE_NAME, CacheFile
from gateway.cache.values import CacheError
from gateway.errors import ApiError, RefusedError

Work = Callable[[CacheFile | None, Fields], dict[str, Any]]


def show(file: CacheFile | None, sent: Fields) -> dict[str, Any]:
    """How much is kept: answers and bytes of the file, in all; answers and their own bytes, of each route."""
    check_known(sent, ())
    if file is None:
        return {"answers": 0, "bytes": 0, "models": []}
    size = file.measure()
    models = [{"model": name, "answers": answers, "bytes": taken} for name, answers, taken in file.list_models()]
    return {"answers": size.answers, "bytes": size.bytes, "models": models}


def clear(file: CacheFile | None, sent: Fields) -> dict[str, Any]:
    """Remove the answers of the route ``model``, those that the key ``name`` asked for, or all."""
    check_known(sent, {"model", "name"})
    model, name = _read(sent, "model", MAX_MODEL), _read(sent, "name", MAX_NAME)
    return {"removed": file.clear(model, name) if file else 0}


CACHE_ACTIONS: Mapping[str, Work] = {"cache.show": show, "cache.clear": clear}


def do_on_cache(name: str, sent: Fields, folder: str) -> dict[str, Any]:
    """Do an action on the file of a folder; blocks.

    Args:
        folder: of the gateway's state; empty where it keeps none.

    Raises:
        RefusedError: 400 for fields that are wrong; 503 where the file cannot be used, which leaves it as it was.
    """
    path = Path(folder) / FILE_NAME
    file = CacheFile(path) if folder and path.exists() else None
    try:
        return CACHE_ACTIONS[name](file, sent)
    except CacheError as error:
        text = f"The file of kept answers cannot be used: {error}."
        raise RefusedError(ApiError(503, "state_unavailable", text)) from error
    finally:
        if file:
            file.close()


def _read(sent: Fields, name: str, most: int) -> str:
    """A text that is not empty, where it is sent: an empty one would stand for all."""
    text = "" if sent.get(name) is None else read_text(sent, name, most)
    if not text and sent.get(name) is not None:
        refuse(name, "a name; leave it out for all")
    return text
