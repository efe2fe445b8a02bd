"""Do one action of ``POST /admin`` on the database while the gateway is stopped: ``python -m gateway.administer``.

In: one JSON object on stdin, and where the state is, in the gateway's own variables. Out: a line of
``{"status": ..., "body": ...}`` on stdout, as the running gateway would have answered. Exit status 0 whenever that was
written. Does I/O: the database.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from typing import Any

import orjson

from gateway.admin.actions import explain_no_state, parse_order
from gateway.admin.cache import do_on_cache
from gateway.errors import ApiError, RefusedError
from gateway.settings import SettingsError, parse_state
from gateway.state.connection import StateError
from gateway.state.database import Database
from gateway.state.keys import read_revision
from gateway.state.restored import write_mark
from gateway.state.start import find_place, make_ready


def main() -> int:
    """Answer what stands on stdin."""
    status, body = administer(sys.stdin.buffer.read(), os.environ)
    sys.stdout.buffer.write(b'{"status":%d,"body":%s}\n' % (status, body))
    return 0


def administer(sent: bytes, environ: Mapping[str, str]) -> tuple[int, bytes]:
    """Do an action on the database of this environment, which is made where there is none; returns status and body."""
    try:
        order = parse_order(_parse(sent))
        settings = parse_state(environ)
        if order.is_of_cache:
            return 200, orjson.dumps(do_on_cache(order.name, order.fields, settings.path))
        place = find_place(settings)
        if place is None:
            raise RefusedError(explain_no_state("GATEWAY_STATE is unset"))
        make_ready(place)
        database = Database(place)
        try:
            result = database.write_here(order.job) if order.writes else database.read_here(order.job)
            write_mark(place, database.read_here(read_revision))
        finally:
            database.close_here()
    except RefusedError as refusal:
        return refusal.error.status, refusal.error.build_body(is_anthropic=False)
    except (StateError, SettingsError) as error:
        refused = explain_no_state(str(error))
        return refused.status, refused.build_body(is_anthropic=False)
    return 200, orjson.dumps(result)


def _parse(sent: bytes) -> dict[str, Any]:
    try:
        value = orjson.loads(sent)
    except orjson.JSONDecodeError:
        value = None
    if not isinstance(value, dict):
        raise RefusedError(ApiError(400, "invalid_json", "A JSON object is expected on stdin."))
    return value


if __name__ == "__main__":
    sys.exit(main())
