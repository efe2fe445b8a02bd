"""What the gateway notes of answers that clients got whole."""

from __future__ import annotations

import json
from typing import Any

import httpx
import pytest

from tests.http_server import serve_http
from tests.integration.gateway.drilled import run_gateway
from tests.integration.gateway.test_company_network import ASKED, CONFIG, Chat
from tests.waiting import wait_for

COUNT = 10


@pytest.mark.parametrize("connection", ["close", "keep-alive"])
def test_a_client_that_got_its_answer_did_not_leave(connection: str) -> None:
    """Whether it keeps the connection or not; the server tells the gate of both ends in the same way."""
    chat = type("OwnChat", (Chat,), {"asked": []})
    with serve_http(chat) as place:
        config = CONFIG.format(address=f"http://{place}/v1", proxied="false")
        with run_gateway(config) as gateway:
            headers = {"Authorization": f"Bearer {gateway.key}", "Connection": connection}
            with httpx.Client(headers=headers, timeout=60, trust_env=False) as client:
                replies = [client.post(f"{gateway.url}/v1/chat/completions", json=ASKED) for _ in range(COUNT)]
            assert [reply.status_code for reply in replies] == [200] * COUNT
            noted = wait_for(lambda: find_lines(gateway.log.read_text(encoding="utf-8")), "the log")
    assert {(line["status"], line.get("complete", True)) for line in noted} == {(200, True)}


def find_lines(log: str) -> list[dict[str, Any]] | None:
    """The access log's lines of all chats; None while some are missing."""
    entries = [json.loads(line) for line in log.splitlines()]
    lines = [entry for entry in entries if entry.get("endpoint") == "/v1/chat/completions"]
    return lines if len(lines) == COUNT else None
