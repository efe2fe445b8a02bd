"""A model hub on this machine: Hugging Face's download protocol on one port, its content network on another.

``GET {hub}/{repo}/resolve/{revision}/{file}`` answers 302 with ``X-Linked-Size`` and ``X-Linked-ETag`` (the SHA-256);
the other port serves the bytes with ETag and ranges. ``Switches`` makes either misbehave, and ``requests`` tells what
was asked and how much was sent.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from urllib.parse import unquote, urlsplit

from tests.http_server import QuietHandler, serve_http

PIECE = 1 << 16


@dataclass
class Switches:
    """What goes wrong; everything is off.

    Attributes:
        cut_after: bytes of each body, until ``cuts`` bodies were cut short.
        statuses: answers of the content server for the next requests instead of the file.
        hub_status: answer of the hub instead of a redirect.
        has_ranges: False answers 200 with everything to a Range request.
        has_if_range: False sends a part whatever version was asked for.
        wrong_ranges: answers 206 with a range that was not asked for.
        length: replaces Content-Length.
        redirects: further redirects on the hub before the content server; -1 never ends.
        away: a third server that a redirect leads to instead.
        has_linked: whether the hub announces size and digest.
        linked_size: replaces the size that it announces.
        added: further headers of the content server's files.
        has_head: whether HEAD is answered.
        etag: replaces the content server's ETag.
        wait: called between two pieces of a body.
        piece: bytes of a piece.
    """

    cut_after: int = 0
    cuts: int = 0
    statuses: list[int] = field(default_factory=list)
    headers: dict[str, str] = field(default_factory=dict)
    hub_status: int = 0
    has_ranges: bool = True
    has_if_range: bool = True
    wrong_ranges: bool = False
    length: int | None = None
    redirects: int = 0
    away: str = ""
    has_linked: bool = True
    linked_size: str = ""
    added: dict[str, str] = field(default_factory=dict)
    has_head: bool = True
    etag: str = ""
    wait: Callable[[], object] = lambda: None
    piece: int = PIECE


@dataclass
class Request:
    """One request as it arrived, and how many bytes of its body were answered."""

    server: str
    method: str
    path: str
    headers: dict[str, str]
    status: int = 0
    sent: int = 0


class Hub:
    """The two servers and their files."""

    def __init__(self) -> None:
        self.files: dict[str, bytes] = {}
        self.announced: dict[str, str] = {}
        self.switches = Switches()
        self.requests: list[Request] = []
        self._servers = ExitStack()
        self._hosts = {role: self._serve(role) for role in ("hub", "content")}

    @property
    def endpoint(self) -> str:
        """Address of the hub."""
        return f"http://{self._hosts['hub']}"

    @property
    def content(self) -> str:
        """Address of the content server, for plain downloads."""
        return f"http://{self._hosts['content']}"

    def add(self, path: str, data: bytes, announced: str = "") -> str:
        """Put a file on the hub; its reference.

        Args:
            path: ``owner/repo/file.gguf``.
            announced: replaces the digest that the hub says.
        """
        self.files[path] = data
        self.announced[path] = announced or hashlib.sha256(data).hexdigest()
        return f"hf:{path}"

    def list_bodies(self) -> list[Request]:
        """Requests for the bytes themselves."""
        return [item for item in self.requests if item.server == "content" and item.method == "GET"]

    def close(self) -> None:
        """Stop both servers."""
        self._servers.close()

    def _serve(self, role: str) -> str:
        return self._servers.enter_context(serve_http(type("Handler", (_Handler,), {"hub": self, "role": role})))


class _Handler(QuietHandler):
    hub: Hub
    role: str
    protocol_version = "HTTP/1.1"

    def do_HEAD(self) -> None:
        self._answer()

    def do_GET(self) -> None:
        self._answer()

    def _answer(self) -> None:
        headers = {name.lower(): value for name, value in self.headers.items()}
        self.request_ = Request(self.role, self.command, self.path, headers)
        self.hub.requests.append(self.request_)
        try:
            self._answer_hub() if self.role == "hub" else self._answer_content()
        except (BrokenPipeError, ConnectionResetError):
            self.close_connection = True

    def _answer_hub(self) -> None:
        switches, parts = self.hub.switches, unquote(urlsplit(self.path).path).strip("/").split("/")
        path = "/".join((*parts[:2], *parts[4:]))
        if switches.hub_status:
            return self._send(switches.hub_status, switches.headers, b"refused")
        if parts[2:3] != ["resolve"] or path not in self.hub.files:
            return self._send(404, {"X-Error-Code": "EntryNotFound"}, b"Entry not found")
        hops = int(urlsplit(self.path).query or "0")
        if switches.redirects < 0 or hops < switches.redirects:
            return self._send(307, {"Location": f"{urlsplit(self.path).path}?{hops + 1}"}, b"")
        target = f"{switches.away or self.hub.content}/{path}?signature=of-the-hub"
        linked = {
            "X-Linked-Size": switches.linked_size or str(len(self.hub.files[path])),
            "X-Linked-ETag": f'"{self.hub.announced[path]}"',
            "X-Repo-Commit": "0" * 40,
        }
        return self._send(302, {"Location": target, **(linked if switches.has_linked else {})}, b"Found. Redirecting")

    def _answer_content(self) -> None:
        switches, path = self.hub.switches, unquote(urlsplit(self.path).path).strip("/")
        if self.command == "HEAD" and not switches.has_head:
            return self._send(405, {}, b"")
        if switches.statuses:
            return self._send(switches.statuses.pop(0), switches.headers, b"busy")
        if path not in self.hub.files:
            return self._send(404, {}, b"not here")
        data = self.hub.files[path]
        etag = switches.etag or f'"{hashlib.md5(data).hexdigest()}"'
        start, status, headers = 0, 200, {"ETag": etag, "Accept-Ranges": "bytes", **switches.added}
        asked = self.headers.get("Range", "")
        is_same = not switches.has_if_range or self.headers.get("If-Range", etag) == etag
        if asked and switches.has_ranges and is_same:
            start = int(asked.removeprefix("bytes=").rstrip("-"))
            if start >= len(data):
                return self._send(416, {"Content-Range": f"bytes */{len(data)}"}, b"")
            start = start // 2 if switches.wrong_ranges else start
            status, headers["Content-Range"] = 206, f"bytes {start}-{len(data) - 1}/{len(data)}"
        return self._send(status, headers, data[start:])

    def _send(self, status: int, headers: dict[str, str], body: bytes) -> None:
        switches, record = self.hub.switches, self.request_
        record.status = status
        self.send_response(status)
        is_file = self.role == "content" and status in (200, 206)
        length = switches.length if is_file and switches.length is not None else len(body)
        for name, value in {**headers, "Content-Length": str(length)}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command == "HEAD":
            return
        is_cut = is_file and switches.cuts > 0
        if is_cut:
            switches.cuts -= 1
        end = min(len(body), switches.cut_after) if is_cut else len(body)
        for position in range(0, end, switches.piece):
            piece = body[position : min(position + switches.piece, end)]
            self.wfile.write(piece)
            record.sent += len(piece)
            if is_file:
                switches.wait()
        if is_cut or length != len(body):
            self.close_connection = True


@contextmanager
def run_hub() -> Iterator[Hub]:
    """A hub for one test."""
    hub = Hub()
    try:
        yield hub
    finally:
        hub.switches.wait = lambda: None
        hub.close()
