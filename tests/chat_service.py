"""The chat API of this checkout as a process, as stackctl starts it: for tests and for measurements."""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import httpx

from stackctl.adapters.files.site_files import find_cache_dir
from stackctl.adapters.process.environments import find_environment, make_environment
from tests.ports import claim_port
from tests.waiting import wait_for

SOURCE = Path(__file__).parents[1] / "services" / "chat-api"
TIMEOUT_S = 120.0
CHAT = "/api/v1/chat"


@lru_cache
def find_chat_python() -> str:
    """The Python of the environment that the service's lock makes."""
    lock = SOURCE / "requirements.lock"
    folder = find_environment(find_cache_dir(os.environ), lock, {})
    make_environment(folder, lock, {}, os.environ.get("PIP_INDEX_URL", ""), print)
    return str(folder / "bin" / "python")


def build_environment(port: int, settings: Mapping[str, str]) -> dict[str, str]:
    """The variables of a service with these settings, whose names lack the prefix."""
    named = {f"CHAT_API_{name}": value for name, value in settings.items()}
    kept = {name: os.environ[name] for name in ("PATH", "HOME", "LANG") if name in os.environ}
    return {**kept, "PYTHONPATH": str(SOURCE), "CHAT_API_PORT": str(port), **named}


@dataclass
class ChatApi:
    """A running service."""

    port: int
    process: subprocess.Popen[bytes]
    log: Path

    @property
    def url(self) -> str:
        """Its base URL."""
        return f"http://127.0.0.1:{self.port}"

    def client(self, **headers: str) -> httpx.Client:
        """A client of it."""
        return httpx.Client(base_url=self.url, headers=headers, timeout=TIMEOUT_S)

    def read_log(self) -> str:
        """What it printed so far."""
        return self.log.read_text(encoding="utf-8")


@contextmanager
def run_chat_api(folder: Path, settings: Mapping[str, str], port: int = 0) -> Iterator[ChatApi]:
    """Run it until the end of the block; its log is in this folder.

    Args:
        settings: its variables without their prefix.
        port: 0 for one that nobody uses.
    """
    port = port or claim_port()
    log = folder / f"chat-api-{port}-{time.monotonic_ns()}.log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            [find_chat_python(), "-m", "chat_api"],
            env=build_environment(port, settings),
            cwd=folder,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
        )
    service = ChatApi(port, process, log)
    try:
        wait_for(lambda: _is_live(service), "the chat API")
        yield service
    finally:
        process.terminate()
        try:
            process.wait(30)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _is_live(service: ChatApi) -> bool:
    assert service.process.poll() is None, f"it ended: {service.read_log()}"
    try:
        return httpx.get(f"{service.url}/health/live", timeout=5).status_code == 200
    except httpx.TransportError:
        return False
