"""A real gateway of one or several workers with a database, as tests of keys and of their limits ask it."""

from __future__ import annotations

import os
import signal
from contextlib import ExitStack
from typing import Any

import httpx

from stackctl.adapters.process.drill_gateway import DrillGateway
from stackctl.core.drill.asks import Ask
from tests.processes import is_alive, list_descendants
from tests.waiting import wait_for

CHAT = "/v1/chat/completions"
TIMEOUT_S = 60.0


class Gate:
    """A running gateway with a database, and one connection to each of its workers."""

    def __init__(self, gateway: DrillGateway, workers: int, stack: ExitStack) -> None:
        self.gateway, self._workers, self._stack = gateway, workers, stack
        self.clients = self._connect()

    @property
    def workers(self) -> list[int]:
        """The processes that answer."""
        if self._workers == 1:
            return [self.gateway.pid]
        return [pid for pid in list_descendants(self.gateway.pid) if is_alive(pid)]

    def _connect(self) -> list[httpx.Client]:
        """While the other workers stand still, a connection is accepted by the one that does not."""
        workers = wait_for(lambda: found if len(found := self.workers) == self._workers else None, "every worker")
        clients = []
        for worker in workers:
            others = [pid for pid in workers if pid != worker]
            client = self._stack.enter_context(httpx.Client(base_url=self.gateway.url, timeout=TIMEOUT_S))
            try:
                for pid in others:
                    os.kill(pid, signal.SIGSTOP)
                assert client.get("/health/liveness").status_code == 200
            finally:
                for pid in others:
                    os.kill(pid, signal.SIGCONT)
            clients.append(client)
        return clients

    def order(self, client: httpx.Client | None = None, **body: Any) -> httpx.Response:
        """Ask for an action, at the first worker or through this connection."""
        headers = {"authorization": f"Bearer {self.gateway.admin_key}"}
        return (client or self.clients[0]).post("/admin", json=body, headers=headers)

    def create(self, name: str, **fields: Any) -> str:
        response = self.order(do="keys.create", name=name, **fields)
        assert response.status_code == 200, response.text
        return str(response.json()["secret"])

    def ask(self, key: str, model: str = "chat") -> list[str]:
        """What each worker answers: a status, or the code of its refusal."""
        return [self._ask(client, key, model) for client in self.clients]

    def _ask(self, client: httpx.Client, key: str, model: str) -> str:
        body = {**Ask("chat", False, "chat").body, "model": model}
        answer = client.post(CHAT, json=body, headers={"authorization": f"Bearer {key}"})
        return str(answer.json()["error"]["code"]) if answer.status_code >= 400 else str(answer.status_code)

    def wait_for(self, key: str, answer: str) -> None:
        """Wait until every worker answers so."""
        wait_for(lambda: set(self.ask(key)) == {answer}, f"{answer} of every worker")
