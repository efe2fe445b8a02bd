"""A PostgreSQL server of a test's own: Debian's programs, a temporary folder, a port of loopback, no rights."""

from __future__ import annotations

import contextlib
import os
import secrets
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psycopg

from tests.certificates import make_company
from tests.ports import claim_port
from tests.processes import is_alive, list_descendants
from tests.programs import require_program
from tests.waiting import wait_for

USER = "owner"


def find_programs() -> Path:
    """The folder of initdb and postgres on this machine; skips the test where they are not there."""
    return Path(require_program("initdb", "postgresql")).parent


class Postgres:
    """A server that a test starts, stops, kills and freezes."""

    def __init__(self, folder: Path) -> None:
        self._programs, self._folder = find_programs(), folder
        self.port, self.password = claim_port(), f"planted-password-{secrets.token_hex(8)}"
        self._data = folder / "data"
        self._process: subprocess.Popen[bytes] | None = None
        self.authority = self._make()

    def _as_nobody(self) -> list[str]:
        """PostgreSQL refuses to run as root."""
        return ["setpriv", "--reuid=nobody", "--regid=nogroup", "--clear-groups"] if os.geteuid() == 0 else []

    def _make(self) -> Path:
        """A cluster that lets nobody in without a password; returns the certificate that its own is trusted by."""
        company = make_company(self._folder)
        key = self._folder / "server.pem"
        secret = self._folder / "password"
        secret.write_text(self.password)
        for path in (self._folder, key, secret):
            if os.geteuid() == 0:
                shutil.chown(path, "nobody", "nogroup")
            path.chmod(0o700 if path.is_dir() else 0o600)
        command = [str(self._programs / "initdb"), "-D", str(self._data), "-U", USER, "-A", "scram-sha-256", "-N",
                   "-E", "UTF8", "--no-locale", f"--pwfile={secret}"]  # fmt: skip
        subprocess.run([*self._as_nobody(), *command], check=True, capture_output=True, cwd="/")
        return company.authority

    def start(self) -> None:
        pem = self._folder / "server.pem"
        options = {"port": self.port, "listen_addresses": "127.0.0.1", "unix_socket_directories": "", "fsync": "off",
                   "ssl": "on", "ssl_cert_file": pem, "ssl_key_file": pem, "max_connections": 60}  # fmt: skip
        settings = [word for name, value in options.items() for word in ("-c", f"{name}={value}")]
        command = [*self._as_nobody(), str(self._programs / "postgres"), "-D", str(self._data), *settings]
        with (self._folder / "log").open("ab") as log:
            self._process = subprocess.Popen(command, stdout=log, stderr=log, cwd="/")
        wait_for(self._answers, "PostgreSQL's first answer")

    def _answers(self) -> bool:
        assert self._process
        assert self._process.poll() is None, (self._folder / "log").read_text()
        try:
            self.run("SELECT 1", database="postgres")
        except psycopg.OperationalError:
            return False
        return True

    def run(self, query: str, database: str, *values: object) -> list[Any]:
        """What a query finds, asked as the owner."""
        with psycopg.connect(self.build_url(database), autocommit=True, connect_timeout=10) as connection:
            cursor = connection.execute(query, values or None)
            return cursor.fetchall() if cursor.description else []

    def build_url(self, database: str, password: str | None = None, options: str = "") -> str:
        secret = self.password if password is None else password
        return f"postgresql://{USER}{':' if secret else ''}{secret}@127.0.0.1:{self.port}/{database}{options}"

    def make_database(self) -> str:
        """A new and empty database; returns its name."""
        name = f"gateway_{secrets.token_hex(6)}"
        self.run(f"CREATE DATABASE {name}", "postgres")
        return name

    def _signal(self, number: signal.Signals) -> None:
        assert self._process
        for pid in (self._process.pid, *list_descendants(self._process.pid)):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, number)

    def freeze(self) -> None:
        self._signal(signal.SIGSTOP)

    def thaw(self) -> None:
        self._signal(signal.SIGCONT)

    def kill(self) -> None:
        """End it with all its processes, as a machine that loses power does."""
        assert self._process
        os.kill(self._process.pid, signal.SIGSTOP)  # from here on it begins no further one
        below = list_descendants(self._process.pid)
        self._signal(signal.SIGKILL)
        self._process.wait()
        # The last of them holds the memory that the next start asks for.
        wait_for(lambda: not any(map(is_alive, below)), "the end of PostgreSQL's processes")

    def restore(self) -> None:
        """Let it answer again, whatever was done to it."""
        assert self._process
        if self._process.poll() is None:
            self.thaw()
        else:
            self.start()

    def stop(self) -> None:
        """End it at once: nobody reads its data again, so none of it is written out first."""
        if self._process and self._process.poll() is None:
            self.thaw()
            self._process.send_signal(signal.SIGQUIT)
            self._process.wait()


@contextmanager
def run_postgres() -> Iterator[Postgres]:
    """A server until the end of the block."""
    find_programs()
    with tempfile.TemporaryDirectory(prefix="stack-test-postgres-") as name:
        server = Postgres(Path(name))
        try:
            server.start()
            yield server
        finally:
            server.stop()
