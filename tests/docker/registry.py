"""A real registry on loopback, with and without a login, for tests that push, pull and pack images."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx

from tests.docker.required import give_up
from tests.ports import claim_port
from tests.waiting import wait_for

USER = "reader"
PASSWORD = "a password of tests"
# bcrypt, the only form that the registry takes; of PASSWORD.
_HTPASSWD = f"{USER}:$2b$04$abcdefghijklmnopqrstuuf6jy9oofv/1FTtdWDUJPpjhojBhQQ.S\n"


@dataclass(frozen=True, slots=True)
class ServedRegistry:
    """The registry.

    Attributes:
        host: with its port, as image names begin with it.
        folder: where it stores blobs.
    """

    host: str
    folder: Path

    def find_blob(self, digest: str) -> Path:
        """The file in which it stores a blob, for tests that damage one."""
        name = digest.removeprefix("sha256:")
        return self.folder / "docker/registry/v2/blobs/sha256" / name[:2] / name / "data"


@contextmanager
def open_registry(folder: Path, *, asks_for_login: bool = False) -> Iterator[ServedRegistry]:
    """Serve until the end of the block; gives up where no registry is installed.

    Args:
        folder: an empty one, for blobs and configuration.
    """
    program = shutil.which("docker-registry") or shutil.which("registry")
    if not program:
        give_up("no registry is installed (Debian: docker-registry)")
    found = ServedRegistry(f"127.0.0.1:{claim_port()}", folder / "blobs")
    config: dict[str, object] = {
        "version": 0.1,
        "log": {"level": "error"},
        "storage": {"filesystem": {"rootdirectory": str(found.folder)}, "delete": {"enabled": True}},
        "http": {"addr": found.host},
    }
    if asks_for_login:
        (folder / "htpasswd").write_text(_HTPASSWD, encoding="utf-8")
        config["auth"] = {"htpasswd": {"realm": "tests", "path": str(folder / "htpasswd")}}
    path = folder / "config.yml"
    path.write_text(json.dumps(config), encoding="utf-8")  # JSON is YAML
    with (folder / "registry.log").open("wb") as log:
        process = subprocess.Popen([program, "serve", str(path)], stdout=log, stderr=log)
    try:
        wait_for(lambda: _answers(found.host, process, folder / "registry.log"), "the registry answers", 30.0)
        yield found
    finally:
        process.terminate()
        process.wait()


def _answers(host: str, process: subprocess.Popen[bytes], log: Path) -> bool:
    assert process.poll() is None, f"the registry ended:\n{log.read_text(errors='replace')[-2000:]}"
    try:
        return httpx.get(f"http://{host}/v2/", trust_env=False).status_code in (200, 401)
    except httpx.TransportError:
        return False
