"""Put values into a tree of other values. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any


def merge(old: Any, new: Any) -> Any:
    """What stands there after: mappings are merged key by key, and a list's items by their ``name`` or ``id``."""
    if isinstance(old, Mapping) and isinstance(new, Mapping):
        return {**old, **{key: merge(old.get(key), value) for key, value in new.items()}}
    if isinstance(old, list) and isinstance(new, list):
        return merge_items(old, new)
    return new


def merge_items(old: Sequence[Any], new: Sequence[Any]) -> list[Any]:
    """A list with the new items: each in the place of the one with its name, the others at the end."""
    items = list(old)
    for item in new:
        name = find_name(item)
        places = [place for place, other in enumerate(items) if name is not None and find_name(other) == name]
        if places:
            items[places[0]] = item
        elif item not in items:
            items.append(item)
    return items


def find_name(item: Any) -> str | None:
    """What an item of a list is known by; None when it has no name."""
    found = (item.get("name") or item.get("id")) if isinstance(item, Mapping) else None
    return found if isinstance(found, str) else None
