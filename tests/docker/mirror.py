"""A package index as companies have one: behind a password, over TLS that only the company's own authority signs.

It serves one package of one file, in a container, so that a build reaches it over Docker's default bridge.
"""

from __future__ import annotations

import base64
import hashlib
import io
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from docker import DockerClient

from tests.docker.sites import run_inside, wait_for

PACKAGE = "stack_test_package"
WHEEL = f"{PACKAGE}-1.0-py3-none-any.whl"
PORT = 8443
USER = "reader"

_SERVER = f"""
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
            is_page = self.path.startswith("/simple/")
            body = b'<a href="/{WHEEL}">{WHEEL}</a>' if is_page else Path("/site/{WHEEL}").read_bytes()
            self.send_header("Content-Type", "text/html" if is_page else "application/zip")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
context.load_cert_chain("/tmp/ca.pem", "/tmp/key.pem")
server = http.server.ThreadingHTTPServer(("", {PORT}), Index)
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
        folder: an empty one, for the package and the certificate.
    """
    wheel = build_wheel()
    (folder / WHEEL).write_bytes(wheel)
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
        container.exec_run(["python3", "/site/server.py", f"Basic {login}"], detach=True)
        url = f"https://{USER}:{password}@{address}:{PORT}/simple"
        ask = ("curl", "--silent", "--fail", "--cacert", "/tmp/ca.pem", f"{url}/")
        wait_for("the index answers", lambda: run_inside(container, *ask)[0] == 0)
        lock = f"{PACKAGE}==1.0 --hash=sha256:{hashlib.sha256(wheel).hexdigest()}\n"
        yield Mirror(url, password, folder / "ca.pem", lock)
    finally:
        container.remove(force=True)


def build_wheel() -> bytes:
    """The one package, as a wheel."""
    folder = f"{PACKAGE}-1.0.dist-info"
    files = {
        f"{PACKAGE}.py": "",
        f"{folder}/METADATA": f"Metadata-Version: 2.1\nName: {PACKAGE}\nVersion: 1.0\n",
        f"{folder}/WHEEL": "Wheel-Version: 1.0\nGenerator: tests\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    record = "".join(f"{name},,\n" for name in (*files, f"{folder}/RECORD"))
    data = io.BytesIO()
    with zipfile.ZipFile(data, "w") as archive:
        for name, text in {**files, f"{folder}/RECORD": record}.items():
            archive.writestr(name, text)
    return data.getvalue()
