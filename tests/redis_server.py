"""A real Redis for one test: Debian's server on a port of its own, with its data in a folder of the test's."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from tests.ports import claim_port
from tests.programs import require_program
from tests.waiting import wait_for

PASSWORD = "planted-redis-password"


@dataclass
class RedisServer:
    """One server, which may be stopped, frozen and started again.

    Attributes:
        chain: PEM file with the key and the certificate of a server that speaks TLS alone; None for one without.
        authority: PEM file of whom its clients trust.
    """

    folder: Path
    port: int = field(default_factory=claim_port)
    password: str = PASSWORD
    chain: Path | None = None
    authority: Path | None = None
    process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        """Its address, without the password."""
        return f"redis{'s' if self.chain else ''}://127.0.0.1:{self.port}/0"

    @property
    def environment(self) -> dict[str, str]:
        """Variables of a gateway that counts here."""
        return {"GATEWAY_REDIS_URL": self.url, "GATEWAY_REDIS_PASSWORD": self.password}

    def start(self) -> None:
        """Start it and wait until it answers."""
        lines = ["bind 127.0.0.1", f"requirepass {self.password}", f"dir {self.folder}", 'save ""', "appendonly yes"]
        # By default what was answered may be written later, and a server that is killed would have forgotten it.
        lines.append("appendfsync always")
        if self.chain:
            lines += [f"tls-port {self.port}", "port 0", "tls-auth-clients no"]
            lines += [f"tls-cert-file {self.chain}", f"tls-key-file {self.chain}"]
        else:
            lines.append(f"port {self.port}")
        with (self.folder / "redis.log").open("ab") as log:
            self.process = subprocess.Popen(["redis-server", "-"], stdin=subprocess.PIPE, stdout=log, stderr=log)
        assert self.process.stdin is not None
        self.process.stdin.write("\n".join(lines).encode())
        self.process.stdin.close()
        wait_for(lambda: self.ask("ping") == "PONG", "Redis")

    def ask(self, *words: str) -> str:
        """What redis-cli prints."""
        tls = ["--tls", "--cacert", str(self.authority)] if self.chain else []
        argv = ["redis-cli", "-p", str(self.port), *tls, *words]
        environment = {**os.environ, "REDISCLI_AUTH": self.password}
        return subprocess.run(argv, env=environment, capture_output=True, text=True, check=False).stdout.strip()

    def kill(self) -> None:
        """End it at once."""
        if self.process and self.process.poll() is None:
            self.process.send_signal(signal.SIGCONT)
            self.process.kill()
            self.process.wait()

    @contextmanager
    def frozen(self) -> Iterator[None]:
        """Let it stand still: connections are accepted by the kernel, and nobody answers."""
        assert self.process is not None
        self.process.send_signal(signal.SIGSTOP)
        try:
            yield
        finally:
            self.process.send_signal(signal.SIGCONT)


@contextmanager
def run_redis(folder: Path, chain: Path | None = None, authority: Path | None = None) -> Iterator[RedisServer]:
    """Run one until the end of the block."""
    require_program("redis-server", "redis-server")
    server = RedisServer(folder, chain=chain, authority=authority)
    server.start()
    try:
        yield server
    finally:
        server.kill()
