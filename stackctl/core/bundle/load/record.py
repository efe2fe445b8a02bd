"""``load.json``: how a release came to this site. Pure: values to text and back."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class LoadRecord:
    """How a release was loaded.

    Attributes:
        signature: "verified", or "unsigned" when nobody vouched for it and the operator allowed that.
        key: name of the public key that verified the release; empty when it was unsigned.
        comment: the signature's trusted comment.
        loaded_at: time of the load in UTC, as ``2026-11-20T12:00:00Z``.
        runtimes: runtimes whose content is here: "compose" when the images are in a Docker engine, "process".
        stackctl: version of stackctl that loaded it.
    """

    id: str
    name: str
    version: int
    signature: str
    key: str
    comment: str
    loaded_at: str
    runtimes: Sequence[str]
    stackctl: str


def render_record(record: LoadRecord) -> str:
    """The text of ``load.json``."""
    return json.dumps(asdict(record), indent=2, sort_keys=True) + "\n"


def parse_record(text: str) -> LoadRecord | None:
    """Read ``load.json``; ``None`` when it is not ours."""
    try:
        values: dict[str, Any] = json.loads(text)
        return LoadRecord(**{**values, "runtimes": tuple(values["runtimes"])})
    except (ValueError, KeyError, TypeError):
        return None
