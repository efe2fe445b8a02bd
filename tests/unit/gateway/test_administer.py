"""The admin route's twin, which acts while the gateway is stopped."""

from __future__ import annotations

from pathlib import Path

import pytest
from gateway.administer import administer


def test_a_stopped_gateways_twin_answers_as_the_route_does(tmp_path: Path) -> None:
    status, body = administer(b'{"do": "keys.create", "name": "a"}', {"GATEWAY_STATE": str(tmp_path / "new")})
    assert status == 200
    assert b'"secret":"sk-' in body
    assert administer(b'{"do": "keys.create", "name": "a"}', {"GATEWAY_STATE": str(tmp_path / "new")})[0] == 409
    status, body = administer(b'{"do": "keys.list"}', {"GATEWAY_STATE": str(tmp_path / "new")})
    assert (status, b'"name":"a"' in body) == (200, True)


@pytest.mark.parametrize(
    ("sent", "status", "code"),
    [(b"", 400, b"invalid_json"), (b"[]", 400, b"invalid_json"), (b'{"do": 1}', 400, b"invalid_parameter")],
)
def test_the_twin_refuses_what_is_no_action(tmp_path: Path, sent: bytes, status: int, code: bytes) -> None:
    refused, body = administer(sent, {"GATEWAY_STATE": str(tmp_path)})
    assert (refused, code in body) == (status, True)
    assert list(tmp_path.iterdir()) == []


def test_the_twin_says_what_it_misses(tmp_path: Path) -> None:
    assert administer(b'{"do": "keys.list"}', {})[0] == 503
    (tmp_path / "gateway.db").write_bytes(b"not a database" * 100)
    status, body = administer(b'{"do": "keys.list"}', {"GATEWAY_STATE": str(tmp_path)})
    assert (status, b"state_unavailable" in body, b"damaged" in body) == (503, True, True)
    assert (tmp_path / "gateway.db").read_bytes().startswith(b"not a database")
