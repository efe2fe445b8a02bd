"""What tests of the cache share: a server that never answers twice the same, and the real gateway before it."""

from __future__ import annotations

import json
import socket
import sqlite3
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

from stackctl.adapters.process.drill_gateway import DrillGateway
from tests.http_server import serve_http
from tests.integration.gateway.content_site import Scripted
from tests.integration.gateway.drilled import run_gateway
from tests.waiting import wait_for

CHAT = "/v1/chat/completions"
# A body of each format, whose answer is made of tokens.
BODIES: dict[str, dict[str, Any]] = {
    CHAT: {"messages": [{"role": "user", "content": "format"}]},
    "/v1/completions": {"prompt": "format"},
    "/v1/messages": {"max_tokens": 9, "messages": [{"role": "user", "content": "format"}]},
    "/v1/responses": {"input": "format"},
}
AGE_S = 600
KEPT_S = 20.0
# Route to its rule; None keeps nothing.
RULES: dict[str, dict[str, Any] | None] = {
    "mine": {"max_age_s": AGE_S},
    "asked": {"max_age_s": AGE_S, "when": "asked"},
    "shared": {"max_age_s": AGE_S, "shared": True},
    "short": {"max_age_s": 0.2},
    "falls": {"max_age_s": AGE_S},
    "own": {"max_age_s": AGE_S},
    "plain": None,
    "vectors": {"max_age_s": AGE_S},
}


class Counting(Scripted):
    """A server whose every answer has a number of its own."""

    asked: list[str]
    answer = "answer-{number}"
    cut = False

    def do_POST(self) -> None:
        self.asked.append(self.path)
        self.pieces = ("the ", self.answer.format(number=len(self.asked)))
        super().do_POST()

    def _list_deltas(self) -> Iterator[dict[str, Any]]:
        yield from super()._list_deltas()
        if self.cut:
            self.wfile.flush()
            self.connection.shutdown(socket.SHUT_RDWR)


# What the server is told and asked, and where it listens.
Server = tuple[type[Counting], str]


@dataclass
class CacheSite:
    """A running gateway, its server, and the folder of its state."""

    gateway: DrillGateway
    server: type[Counting]
    state: Path

    @property
    def file(self) -> Path:
        """The file of kept answers."""
        return self.state / "cache.db"

    def post(self, path: str, body: Mapping[str, Any], key: str = "", **headers: str) -> httpx.Response:
        """Send a client's request."""
        sent = {"Authorization": f"Bearer {key or self.gateway.key}"} | headers
        return httpx.post(f"{self.gateway.url}{path}", headers=sent, json=body, timeout=60, trust_env=False)

    def post_kept(self, path: str, body: Mapping[str, Any]) -> httpx.Response:
        """Send a client's request, and go on when its answer is kept."""
        with self.await_kept():
            return self.post(path, body)

    def ask(self, model: str, text: str = "hello", key: str = "", path: str = CHAT, **more: Any) -> httpx.Response:
        """Ask for an answer; ``headers`` among ``more`` go into the request's head."""
        headers = more.pop("headers", {})
        said = {"messages": [{"role": "user", "content": text}]}
        return self.post(path, {"model": model, **said, **more}, key, **headers)

    def ask_kept(self, model: str, text: str = "hello", key: str = "", **more: Any) -> httpx.Response:
        """Ask once, and go on when the answer is kept: the next equal request is a hit."""
        with self.await_kept():
            return self.ask(model, text, key, **more)

    @contextmanager
    def await_kept(self) -> Iterator[None]:
        """Wait at the end of the block until an answer of the block was kept, not one of before it."""
        began, before = time.time(), self.list_kept()
        yield

        def list_new() -> list[float]:
            return [stored_at for _, stored_at in self.list_kept() - before if stored_at >= began]

        wait_for(list_new, "the answer in the file", KEPT_S)

    def list_kept(self) -> set[tuple[bytes, float]]:
        """Digest and time of each answer in the file."""
        with closing(sqlite3.connect(self.file)) as connection:
            return set(connection.execute("SELECT digest, stored_at FROM answers"))

    def count(self) -> int:
        """Answers that are kept."""
        return int(self.order("cache.show")["answers"])

    def order(self, do: str, /, **fields: Any) -> Any:
        """Have the operator's action done."""
        return self.get_admin("/admin", {"do": do, **fields}).json()

    def create(self, name: str, **fields: Any) -> str:
        """A key of this name."""
        return str(self.order("keys.create", name=name, **fields)["secret"])

    def get_admin(self, path: str, body: Any = None) -> httpx.Response:
        """What the operator is answered."""
        headers = {"Authorization": f"Bearer {self.gateway.admin_key}"}
        method = "POST" if body else "GET"
        url = f"{self.gateway.url}{path}"
        answer = httpx.request(method, url, headers=headers, json=body, timeout=60, trust_env=False)
        assert answer.status_code == 200, answer.text
        return answer

    def read_usage(self, key: str) -> list[dict[str, Any]]:
        """The records of what a key used, oldest first."""
        with closing(sqlite3.connect(self.state / "gateway.db")) as connection:
            connection.row_factory = sqlite3.Row
            rows = connection.execute("SELECT * FROM usage WHERE key = ? ORDER BY id", (key,))
            return [dict(row) for row in rows]

    def read_log(self) -> list[dict[str, Any]]:
        """Every whole line of the gateway's log."""
        text = self.gateway.log.read_text(encoding="utf-8")
        return [json.loads(line) for line in text.splitlines(keepends=True) if line.endswith("\n")]


def is_hit(answer: httpx.Response) -> bool:
    """Whether an answer was a kept one."""
    assert answer.status_code == 200, answer.text
    return answer.headers["x-gateway-cache"] == "hit"


def write_configuration(place: str, size_mb: int, rules: Mapping[str, Mapping[str, Any] | None]) -> str:
    """The configuration of a gateway with these routes; ``falls`` has a first target that refuses."""
    models = dict.fromkeys(rules, "near") | {"broken": "nowhere", "far": "cloud"}
    bases = {"near": place, "cloud": place, "nowhere": "127.0.0.1:9"}
    routes: dict[str, Any] = {name: {"targets": [name], "retries": 0, "deadline_s": 30} for name in models}
    if "falls" in routes:
        routes["falls"]["targets"] = ["broken", "falls"]
    if "shared" in routes:
        routes["shared"]["targets"] = ["far", "shared"]
    if "own" in routes:
        routes["own"] |= {"targets": ["far"], "provider_key": "allowed"}
    for name, rule in rules.items():
        if rule is not None:
            routes[name]["cache"] = rule
    entries = [
        {
            "model_name": name,
            "litellm_params": {"model": f"openai/{name}", "api_base": f"http://{bases[owner]}/v1", "api_key": "k"},
            "model_info": {"mode": "embedding" if name == "vectors" else "chat"},
        }
        for name, owner in models.items()
    ]
    own = {
        "cache": {"size_mb": size_mb},
        "providers": {name: {"kind": "openai-compatible", "local": name != "cloud"} for name in bases},
        "models": {name: {"provider": owner} for name, owner in models.items()},
        "routes": routes,
    }
    return json.dumps({"model_list": entries, "gateway": own})


@contextmanager
def run_server() -> Iterator[Server]:
    """Run a server, and tell where it listens."""
    server = type("OwnCounting", (Counting,), {"asked": []})
    with serve_http(server) as place:
        yield server, place


@contextmanager
def run_cache_site(
    state: Path,
    size_mb: int = 16,
    rules: Mapping[str, Mapping[str, Any] | None] | None = None,
    running: Server | None = None,
    **environment: str,
) -> Iterator[CacheSite]:
    """Run a gateway that keeps its state in this folder, before a server of its own or one that runs already."""
    with ExitStack() as stack:
        server, place = running or stack.enter_context(run_server())
        configuration = write_configuration(place, size_mb, RULES if rules is None else rules)
        with run_gateway(configuration, GATEWAY_STATE=str(state), **environment) as gateway:
            yield CacheSite(gateway, server, state)
