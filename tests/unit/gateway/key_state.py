"""A database of keys for tests, asked as the admin route and the gate ask it."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import orjson
import pytest
from gateway.admin.actions import ACTIONS, parse_order
from gateway.errors import RefusedError
from gateway.policy.access import find_caller
from gateway.policy.keyring import KeyRing
from gateway.policy.refresher import KeyReader
from gateway.settings import parse_settings
from gateway.state.database import Database, Place
from gateway.state.values import Caller

from tests.gateway_calls import ENVIRONMENT

SETTINGS = parse_settings(ENVIRONMENT)
DAY_S = 86_400.0


class State:
    """A database, asked as the admin route asks it."""

    def __init__(self, place: Place) -> None:
        self.place = place
        self.database = Database(place)
        self.reader = KeyReader(place)

    @property
    def path(self) -> Path:
        assert isinstance(self.place, Path)
        return self.place

    def dump(self) -> bytes:
        """All that the database holds."""
        return b"".join(file.read_bytes() for file in self.path.parent.iterdir())

    def do(self, action: str, /, **fields: Any) -> Any:
        order = parse_order({"do": action, **fields})
        run = self.database.write_here if ACTIONS[action].writes else self.database.read_here
        return orjson.loads(orjson.dumps(run(order.job)))

    def fail(self, action: str, /, **fields: Any) -> tuple[int, str, str | None]:
        with pytest.raises(RefusedError) as caught:
            self.do(action, **fields)
        error = caught.value.error
        return error.status, error.code, error.param

    @property
    def ring(self) -> KeyRing:
        return KeyRing(self.database.read_here(self.reader.read)[1])

    def ask(self, sent: str | bytes, now: float | None = None) -> Caller | str:
        """Who may call with this key; or why nobody may."""
        sent = sent.encode() if isinstance(sent, str) else sent
        try:
            return find_caller([(b"x-api-key", sent)], SETTINGS, self.ring, time.time() if now is None else now)
        except RefusedError as refusal:
            return refusal.error.code if refusal.error.status == 401 else str(refusal.error)
