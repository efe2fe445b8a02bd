"""A package index as companies have one: behind a password, over TLS that only the company's own authority signs.

It serves a package and one that this needs with an extra, of which there is a newer release than the lock pins; and
a package that comes as its source, whose build backend has a newer release too. It runs in a container, so that a
build reaches it over Docker's default bridge.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from docker import DockerClient

from tests.docker.sites import run_inside
from tests.package_index import SOURCE, make_sdist, make_wheel, render_backend
from tests.waiting import wait_for

PACKAGE, NEEDED = "stack_test_package", "stack_test_needed"
WHEELS = {
    f"{PACKAGE}-1.0-py3-none-any.whl": make_wheel(PACKAGE, "1.0", Requires_Dist=f"{NEEDED}[more]>=1.0"),
    f"{NEEDED}-1.0-py3-none-any.whl": make_wheel(NEEDED, "1.0", Provides_Extra="more"),
    f"{NEEDED}-1.1-py3-none-any.whl": make_wheel(NEEDED, "1.1", Provides_Extra="more"),
}
SOURCES = {
    "delta-1.0.tar.gz": make_sdist("delta", "1.0", pyproject=SOURCE),
    "backend-1.0-py3-none-any.whl": make_wheel("backend", "1.0", code=render_backend("1.0")),
    "backend-1.1-py3-none-any.whl": make_wheel("backend", "1.1", code=render_backend("1.1")),
}


def _lock(*files: str) -> str:
    files_here = {**WHEELS, **SOURCES}
    return "".join(
        f"{name.split('-')[0]}==1.0 --hash=sha256:{hashlib.sha256(files_here[name]).hexdigest()}\n" for name in files
    )


LOCK = _lock(*(name for name in WHEELS if "-1.0-" in name))
SOURCE_LOCK, BUILD_LOCK = _lock("delta-1.0.tar.gz"), _lock("backend-1.0-py3-none-any.whl")
PORT = 8443
USER = "reader"

# Arguments: the one authorization it takes, and its port.
_SERVER = """
import http.server, ssl, sys
from pathlib import Path

class Index(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        if self.headers["Authorization"] != sys.argv[1]:
            self.send_response(401)
            self.send_header("WWW-Authenticate", "Basic")
            body = b""
        else:
            self.send_response(200)
            is_page, name = self.path.startswith("/simple/"), self.path.strip("/").rpartition("/")[2]
            files = [path.name for path in Path("/site").glob(name.replace("-", "_") + "-*")]
            page = "".join('<a href="/%s">%s</a> ' % (file, file) for file in files).encode()
            body = page if is_page else Path("/site", name).read_bytes()
            self.send_header("Content-Type", "text/html" if is_page else "application/octet-stream")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
context.load_cert_chain("/tmp/ca.pem", "/tmp/key.pem")
server = http.server.ThreadingHTTPServer(("", int(sys.argv[2])), Index)
server.socket = context.wrap_socket(server.socket, server_side=True)
server.serve_forever()
"""


@dataclass(frozen=True, slots=True)
class Mirror:
    """The index.

    Attributes:
        url: with user and password, as PIP_INDEX_URL takes it.
        ca_bundle: the authority's certificate.
        lock: requirements that only this index can satisfy.
    """

    url: str
    password: str
    ca_bundle: Path
    lock: str


@contextmanager
def open_mirror(client: DockerClient, image: str, folder: Path, password: str) -> Iterator[Mirror]:
    """Serve the index until the end of the block.

    Args:
        image: with Python and openssl.
        folder: an empty one, for the packages and the certificate.
    """
    for name, data in (*WHEELS.items(), *SOURCES.items()):
        (folder / name).write_bytes(data)
    (folder / "server.py").write_text(_SERVER, encoding="utf-8")
    volumes = {str(folder): {"bind": "/site", "mode": "ro"}}
    container = client.containers.run(image, ["sleep", "600"], detach=True, remove=True, init=True, volumes=volumes)
    try:
        container.reload()
        address = container.attrs["NetworkSettings"]["Networks"]["bridge"]["IPAddress"]
        make = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=company"]
        files = ["-keyout", "/tmp/key.pem", "-out", "/tmp/ca.pem", "-addext", f"subjectAltName=IP:{address}"]
        code, text = run_inside(container, *make, *files)
        assert code == 0, text
        _, certificate = run_inside(container, "cat", "/tmp/ca.pem")
        (folder / "ca.pem").write_text(certificate + "\n", encoding="utf-8")
        login = base64.b64encode(f"{USER}:{password}".encode()).decode()
        container.exec_run(["python3", "/site/server.py", f"Basic {login}", str(PORT)], detach=True)
        url = f"https://{USER}:{password}@{address}:{PORT}/simple"
        ask = ("curl", "--silent", "--fail", "--cacert", "/tmp/ca.pem", f"{url}/")
        wait_for(lambda: run_inside(container, *ask)[0] == 0, "the index answers")
        yield Mirror(url, password, folder / "ca.pem", LOCK)
    finally:
        container.remove(force=True)
