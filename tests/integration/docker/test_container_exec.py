"""What a command in a container wrote comes whole, also where the engine sends it together with its answer's head."""

from __future__ import annotations

import json
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from socketserver import ThreadingUnixStreamServer
from threading import Thread
from types import SimpleNamespace
from typing import Any

import pytest
from docker import DockerClient
from docker.errors import APIError

from stackctl.adapters.docker.container_exec import run_inside

WRITTEN = b"\1\0\0\0\0\0\0\3one\2\0\0\0\0\0\0\4ouch\1\0\0\0\0\0\0\4 two"
FAILURE = "container c is not running"


class Engine(BaseHTTPRequestHandler):
    """The three answers of an engine that runs a command, each sent at once."""

    protocol_version = "HTTP/1.1"
    is_running = True

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        if self.path.endswith("/start") and not self.is_running:
            self.send(409, json.dumps({"message": FAILURE}).encode())
        elif self.path.endswith("/start"):
            self.send(200, WRITTEN, is_last=True)
        else:
            self.send(201, b'{"Id": "e"}')

    def do_GET(self) -> None:
        self.send(200, b'{"ExitCode": 3}')

    def send(self, status: int, body: bytes, *, is_last: bool = False) -> None:
        self.close_connection = is_last
        length = "" if is_last else f"Content-Length: {len(body)}\r\n"
        self.wfile.write(f"HTTP/1.1 {status} x\r\n{length}\r\n".encode() + body)


@pytest.fixture
def container(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    monkeypatch.setattr(Engine, "address_string", lambda _: "here")
    server = ThreadingUnixStreamServer(str(tmp_path / "docker.sock"), Engine)
    Thread(target=server.serve_forever, daemon=True).start()
    client = DockerClient(base_url=f"unix://{tmp_path}/docker.sock", version="1.44")
    yield SimpleNamespace(client=client, id="c")
    client.close()
    server.shutdown()
    server.server_close()


def test_nothing_is_missing(container: Any) -> None:
    done = run_inside(container, ["any"])
    assert (done.code, done.stdout, done.stderr) == (3, "one two", "ouch")


def test_a_container_that_ended_meanwhile_is_an_error_of_the_engine(
    container: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Engine, "is_running", False)
    with pytest.raises(APIError) as raised:
        run_inside(container, ["any"])
    assert raised.value.explanation == FAILURE
