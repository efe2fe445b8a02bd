"""A machine outside every Docker network, made of a network namespace: it answers HTTP, also as a provider of models,
and DNS, and tells which datagrams came. It knows no route back to Docker's own addresses, as no machine of a company or
of the Internet does.

Needs root and iproute2. All of its traffic stays on this machine, between the namespace and the test's containers.
"""

from __future__ import annotations

import json
import os
import secrets
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from tests.waiting import wait_for

PORT = 8080
# What the machine outside says to whoever reaches it.
GREETING = "hello from outside"

_SERVER = f"""
import http.server, json, socket, struct, sys, threading

class Hello(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.end_headers()
        self.wfile.write(json.dumps(seen).encode() if self.path == "/seen" else b"{GREETING}")

    def do_POST(self):
        # A chat completion, as one answer and as a stream of one piece.
        asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        kind, name = ("chat.completion.chunk", "delta") if asked.get("stream") else ("chat.completion", "message")
        choice = dict(index=0, finish_reason="stop")
        choice[name] = dict(role="assistant", content="{GREETING}")
        answer = json.dumps(dict(id="1", object=kind, created=1, model="m", choices=[choice])).encode()
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream" if asked.get("stream") else "application/json")
        self.end_headers()
        self.wfile.write(b"data: " + answer + b"\\n\\ndata: [DONE]\\n\\n" if asked.get("stream") else answer)

def answer_names(address):
    # Every name has this machine's address: a DNS answer with the question and one A record.
    with socket.socket(type=socket.SOCK_DGRAM) as server:
        server.bind((address, 53))
        while True:
            query, peer = server.recvfrom(512)
            end = query.index(0, 12) + 5
            record = b"\\xc0\\x0c" + struct.pack("!HHIH", 1, 1, 1, 4) + socket.inet_aton(address)
            is_a = query[end - 4 : end - 2] == b"\\0\\1"
            head = query[:2] + struct.pack("!HHHHH", 0x8180, 1, int(is_a), 0, 0)
            server.sendto(head + query[12:end] + (record if is_a else b""), peer)

seen = []

def note_datagrams(address):
    with socket.socket(type=socket.SOCK_DGRAM) as server:
        server.bind((address, {PORT}))
        while True:
            seen.append(server.recv(100).decode())

address = sys.argv[1]
threading.Thread(target=note_datagrams, args=(address,), daemon=True).start()
threading.Thread(target=answer_names, args=(address,), daemon=True).start()
http.server.ThreadingHTTPServer((address, {PORT}), Hello).serve_forever()
"""


def explain_no_outside() -> str:
    """Why there can be none here; empty when there can."""
    if os.geteuid() != 0:
        return "that needs root"
    return "" if shutil.which("ip") else "iproute2 is not installed"


@dataclass(frozen=True, slots=True)
class Outside:
    """The machine.

    Attributes:
        address: where it answers HTTP on ``PORT`` and DNS on port 53.
    """

    address: str

    @property
    def url(self) -> str:
        """Where it says hello."""
        return f"http://{self.address}:{PORT}/"

    @classmethod
    @contextmanager
    def open(cls) -> Iterator[Outside]:
        """Make it, and take it away again."""
        tag = secrets.token_hex(3)
        space, near, far = f"outside-{tag}", f"out{tag}a", f"out{tag}b"
        # Four addresses of the range that is set aside for measuring networks (RFC 2544).
        base = f"198.18.{secrets.randbelow(256)}"
        host, address = f"{base}.1", f"{base}.2"
        _run("ip", "netns", "add", space)
        try:
            _run("ip", "link", "add", near, "type", "veth", "peer", "name", far, "netns", space)
            _run("ip", "address", "add", f"{host}/30", "dev", near)
            _run("ip", "link", "set", near, "up")
            _run("ip", "-n", space, "address", "add", f"{address}/30", "dev", far)
            _run("ip", "-n", space, "link", "set", far, "up")
            server = subprocess.Popen(["ip", "netns", "exec", space, sys.executable, "-c", _SERVER, address])
            try:
                outside = cls(address)
                wait_for(outside.answers, "the machine outside answers")
                yield outside
            finally:
                server.kill()
                server.wait()
        finally:
            _run("ip", "netns", "delete", space)

    def list_datagrams(self) -> list[str]:
        """Contents of the datagrams that came to ``PORT``."""
        done = subprocess.run([sys.executable, "-c", FETCH, f"{self.url}seen"], capture_output=True, check=True)
        return [str(item) for item in json.loads(done.stdout)]

    def answers(self) -> bool:
        """Whether this machine itself reaches it."""
        argv = [sys.executable, "-c", FETCH, self.url]
        return subprocess.run(argv, capture_output=True, text=True, check=False).stdout.strip() == GREETING


# Prints what an address answers; a program of its own because it runs inside containers, too.
FETCH = """
import sys, urllib.request
opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
print(opener.open(sys.argv[1], timeout=5).read().decode())
"""


def _run(*argv: str) -> None:
    done = subprocess.run(argv, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{' '.join(argv)}: {done.stderr}"
