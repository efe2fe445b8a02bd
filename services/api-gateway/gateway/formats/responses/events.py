"""Server-sent events of the Responses format, numbered. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import orjson


class EventWriter:
    """Numbers the events of one stream and writes them as server-sent events."""

    def __init__(self) -> None:
        self._number = -1

    def write(self, kind: str, fields: Mapping[str, Any]) -> bytes:
        """One event; its name stands in the event line and in the data, as OpenAI has it."""
        self._number += 1
        data = {"type": kind, "sequence_number": self._number, **fields}
        return b"event: %s\ndata: %s\n\n" % (kind.encode(), orjson.dumps(data))
