"""A registry that misbehaves on demand: cut connections, no ranges, tokens, redirects to another host.

It serves one image of one layer from memory, on loopback; what real registries do is tests/docker/registry.py's part.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from urllib.parse import parse_qs, urlsplit

from stackctl.core.images.oci import OCI_INDEX, OCI_MANIFEST
from tests.http_server import QuietHandler, serve_http
from tests.image_documents import describe_entry, digest, make_config, make_index, make_manifest

REPOSITORY = "team/image"


@dataclass
class FakeRegistry:
    """What it serves, how it fails, and what it was asked.

    Attributes:
        cut_after: of a blob's bytes in one answer; 0 for never.
        cuts: how many more times.
        busy: how many more questions are answered with ``busy_status``.
        token: that it demands; it is handed out at /token to ``token_login`` (a header's value; empty for anybody).
        refresh_token: identity token for which it hands the token out, too.
        basic: header that it demands.
        blobs_at: another server's address, where blobs are to be fetched.
        asked: method, path and headers of every request.
    """

    layer: bytes
    has_ranges: bool = True
    cut_after: int = 0
    cuts: int = 0
    busy: int = 0
    busy_status: int = 503
    token: str = ""
    token_login: str = ""
    refresh_token: str = ""
    basic: str = ""
    blobs_at: str = ""
    host: str = ""
    asked: list[tuple[str, dict[str, str]]] = field(default_factory=list)
    documents: dict[str, tuple[bytes, str]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Make the image's documents."""
        self.config = make_config(self.layer)
        self.manifest = make_manifest(self.config, self.layer)
        # Spaces and line ends: bytes that no parser would write again.
        about = {"vnd.docker.reference.type": "attestation-manifest"}
        entries = (
            describe_entry(b"about", "unknown/unknown", annotations=about),
            describe_entry(self.manifest, "linux/amd64"),
        )
        self.index = make_index(*entries) + b"\n  \n"
        self.documents = {
            "latest": (self.index, OCI_INDEX),
            digest(self.index): (self.index, OCI_INDEX),
            digest(self.manifest): (self.manifest, OCI_MANIFEST),
        }
        self.blobs = {digest(data): data for data in (self.config, self.layer)}

    @property
    def reference(self) -> str:
        """The image's name."""
        return f"{self.host}/{REPOSITORY}"

    def count_asked(self, path: str) -> int:
        """How often a path with this in it was asked for."""
        return sum(path in asked for asked, _ in self.asked)


@contextmanager
def open_fake_registry(registry: FakeRegistry) -> Iterator[FakeRegistry]:
    """Serve it until the end of the block."""

    class Handler(_Handler):
        served = registry

    with serve_http(Handler) as registry.host:
        yield registry


class _Handler(QuietHandler):
    served: FakeRegistry
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        served = self.served
        served.asked.append((self.path, {name.lower(): value for name, value in self.headers.items()}))
        if self.path.startswith("/token"):
            self._give_token()
        elif served.busy:
            served.busy -= 1
            self._answer(served.busy_status, b"", {"Retry-After": "7"})
        elif self._demand_login():
            return
        elif "/manifests/" in self.path:
            data, media_type = served.documents.get(self.path.rpartition("/")[2], (b"", ""))
            self._answer(200 if data else 404, data, {"Content-Type": media_type})
        else:
            self._give_blob(self.path.rpartition("/")[2])

    def do_POST(self) -> None:
        form = parse_qs(self.rfile.read(int(self.headers["Content-Length"])).decode())
        is_right = form["grant_type"] == ["refresh_token"] and form["refresh_token"] == [self.served.refresh_token]
        self._answer(200 if is_right else 401, json.dumps({"access_token": self.served.token}).encode())

    def _demand_login(self) -> bool:
        served, given = self.served, self.headers["Authorization"]
        if served.token and given != f"Bearer {served.token}":
            realm = f'Bearer realm="http://{served.host}/token",service="fake",scope="repository:{REPOSITORY}:pull"'
            self._answer(401, b"", {"WWW-Authenticate": realm})
            return True
        if served.basic and given != served.basic:
            self._answer(401, b"", {"WWW-Authenticate": 'Basic realm="fake"'})
            return True
        return False

    def _give_token(self) -> None:
        asked = parse_qs(urlsplit(self.path).query)
        is_known = self.headers["Authorization"] == (self.served.token_login or None)
        is_right = asked["service"] == ["fake"] and asked["scope"] == [f"repository:{REPOSITORY}:pull"]
        body = json.dumps({"token": self.served.token}).encode()
        self._answer(200 if is_known and is_right else 401, body)

    def _give_blob(self, name: str) -> None:
        served = self.served
        if served.blobs_at:
            self._answer(307, b"", {"Location": f"{served.blobs_at}{self.path}"})
            return
        data = served.blobs.get(name, b"")
        start = 0
        if served.has_ranges and (asked := self.headers["Range"]):
            start = int(asked.removeprefix("bytes=").removesuffix("-"))
        kept = len(data) - start
        if served.cuts and 0 < served.cut_after < kept:
            served.cuts -= 1
            kept = served.cut_after
        more = {"Content-Range": f"bytes {start}-{len(data) - 1}/{len(data)}"} if start else {}
        self._answer(206 if start else 200 if data else 404, data[start : start + kept], more, len(data) - start)
        self.close_connection = kept < len(data) - start

    def _answer(
        self, status: int, body: bytes, headers: Mapping[str, str] | None = None, length: int | None = None
    ) -> None:
        self.send_response(status)
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body) if length is None else length))
        self.end_headers()
        self.wfile.write(body)
