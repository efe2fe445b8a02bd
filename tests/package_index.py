"""A package index on loopback with packages made for a test; it counts what is fetched and can hold a file back."""

from __future__ import annotations

import base64
import hashlib
import io
import tarfile
import threading
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from tests.http_server import QuietHandler, serve_http


@dataclass
class PackageIndex:
    """The index.

    Attributes:
        files: content by file name.
        held: name of a file that is not answered until ``release`` is set.
        reached: set when somebody waits for the held file.
        fetched: names of the files that were asked for.
        refuses: whether it lets nobody in.
        login: ``user:password`` that every request must bring; empty for none.
        moved: whether files are at another address, which this one names.
        swapped: other content, by file name, than what the index says there is.
        broken: names of files whose first answer breaks off half way.
    """

    files: dict[str, bytes] = field(default_factory=dict)
    url: str = ""
    held: str = ""
    release: threading.Event = field(default_factory=threading.Event)
    reached: threading.Event = field(default_factory=threading.Event)
    fetched: list[str] = field(default_factory=list)
    refuses: bool = False
    login: str = ""
    moved: bool = False
    swapped: dict[str, bytes] = field(default_factory=dict)
    broken: set[str] = field(default_factory=set)

    def add_wheel(
        self, name: str, version: str = "1.0", tag: str = "py3-none-any", code: str = "", **facts: str
    ) -> str:
        """Offer a wheel with this code in its module and these lines in its metadata; its hash."""
        data = make_wheel(name, version, tag, code, **facts)
        self.files[f"{name}-{version}-{tag}.whl"] = data
        return hashlib.sha256(data).hexdigest()

    def add_sdist(self, name: str, version: str = "1.0", **files: str) -> str:
        """Offer sources only, which hold these files: ``pyproject="..."`` is ``pyproject.toml``; their hash."""
        data = make_sdist(name, version, **files)
        self.files[f"{name}-{version}.tar.gz"] = data
        return hashlib.sha256(data).hexdigest()


# pyproject.toml of a package that is built by the module of a wheel ``backend``, and that module.
SOURCE = '[build-system]\nrequires = ["backend>=1.0"]\nbuild-backend = "backend"\n'
_BACKEND = """
import zipfile

def build_wheel(folder, config_settings=None, metadata_directory=None):
    name, info = "delta-1.0-py3-none-any.whl", "delta-1.0.dist-info"
    with zipfile.ZipFile(f"{folder}/{name}", "w") as archive:
        archive.writestr("delta.py", "BUILT_WITH = 'VERSION'")
        archive.writestr(f"{info}/METADATA", "Metadata-Version: 2.1\\nName: delta\\nVersion: 1.0\\n")
        archive.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\\nRoot-Is-Purelib: true\\nTag: py3-none-any\\n")
        archive.writestr(f"{info}/RECORD", "")
    return name
"""


def render_backend(version: str) -> str:
    """Code of a build backend that makes the package ``delta``, whose ``BUILT_WITH`` is this version."""
    return _BACKEND.replace("VERSION", version)


def make_sdist(name: str, version: str, **files: str) -> bytes:
    """A source package; a file ``pyproject="..."`` is ``pyproject.toml``."""
    texts = {"PKG-INFO": f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n", **files}
    data = io.BytesIO()
    with tarfile.open(fileobj=data, mode="w:gz") as archive:
        for stem, text in texts.items():
            member = tarfile.TarInfo(f"{name}-{version}/{'pyproject.toml' if stem == 'pyproject' else stem}")
            member.size = len(text.encode())
            archive.addfile(member, io.BytesIO(text.encode()))
    return data.getvalue()


def make_wheel(name: str, version: str, tag: str = "py3-none-any", code: str = "", **facts: str) -> bytes:
    """A wheel of one module. A fact ``Requires_Dist="x"`` is the line ``Requires-Dist: x`` of its metadata."""
    info = f"{name}-{version}.dist-info"
    lines = "".join(f"{fact.replace('_', '-')}: {value}\n" for fact, value in facts.items())
    files = {
        f"{name}.py": f"TAG = '{tag}'\n{code}",
        f"{info}/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n{lines}",
        f"{info}/WHEEL": f"Wheel-Version: 1.0\nGenerator: tests\nRoot-Is-Purelib: true\nTag: {tag}\n",
    }
    record = "".join(f"{path},,\n" for path in (*files, f"{info}/RECORD"))
    data = io.BytesIO()
    with zipfile.ZipFile(data, "w") as archive:
        for path, text in {**files, f"{info}/RECORD": record}.items():
            archive.writestr(zipfile.ZipInfo(path), text)
    return data.getvalue()


@contextmanager
def open_package_index() -> Iterator[PackageIndex]:
    """Serve an empty index until the end of the block."""
    index = PackageIndex()

    class Handler(_Handler):
        served = index

    with serve_http(Handler) as host:
        index.url = f"http://{host}/simple"
        try:
            yield index
        finally:
            index.release.set()


class _Handler(QuietHandler):
    served: PackageIndex

    def do_GET(self) -> None:
        wanted = f"Basic {base64.b64encode(self.served.login.encode()).decode()}"
        if self.served.login and self.headers.get("Authorization") != wanted:
            self.send_response(401)
            self.send_header("WWW-Authenticate", "Basic")
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        if self.served.refuses:
            self.send_error(403)
            return
        # Whoever takes this for a proxy asks for a whole address.
        place, _, name = urlsplit(self.path).path.rstrip("/").rpartition("/")
        if place == "/simple":
            names = [file for file in self.served.files if file.split("-")[0] == name.replace("-", "_")]
            self._answer("".join(self._list_link(file) for file in names).encode(), "text/html")
            return
        if self.served.moved and place == "/files":
            self.send_response(302)
            self.send_header("Location", f"/moved/{name}")
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        self.served.fetched.append(name)
        if name == self.served.held:
            self.served.reached.set()
            self.served.release.wait()
        data = self.served.swapped.get(name, self.served.files[name])
        self._answer(data, "application/octet-stream", breaks=name in self.served.broken)
        self.served.broken.discard(name)

    do_HEAD = do_GET

    def _list_link(self, file: str) -> str:
        digest = hashlib.sha256(self.served.files[file]).hexdigest()
        return f'<a href="/files/{file}#sha256={digest}">{file}</a>\n'

    def _answer(self, body: bytes, media_type: str, *, breaks: bool = False) -> None:
        self.send_response(200)
        self.send_header("Content-Type", media_type)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command == "HEAD":
            return
        self.wfile.write(body[: len(body) // 2] if breaks else body)
        if breaks:
            self.close_connection = True
