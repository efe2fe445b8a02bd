"""Another machine in the local network: a network namespace of its own, with a wire to this one. Needs root."""

from __future__ import annotations

import os
import random
import secrets
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.integration.stack_site import COMMAND_TIMEOUT_S, clean_environment


def explain_no_elsewhere() -> str:
    """Why there can be none here; empty when there can."""
    if os.geteuid() != 0:
        return "network namespaces need root"
    if not shutil.which("ip"):
        return "iproute2 is not installed"
    space = f"probe-{secrets.token_hex(3)}"
    done = _run("ip", "netns", "add", space)
    if done.returncode:
        return f"no network namespace can be made: {done.stderr.strip()}"
    _run("ip", "netns", "delete", space)
    return ""


@dataclass(frozen=True)
class Elsewhere:
    """The machine.

    Attributes:
        space: name of its namespace.
        server: address of this machine, as it sees it.
    """

    space: str
    server: str

    @classmethod
    @contextmanager
    def open(cls, *names: str) -> Iterator[Elsewhere]:
        """Make it, with these names for this machine, and take it away again."""
        number = _claim_number()
        space, near, far = f"lan-{number}", f"lan{number}a", f"lan{number}b"
        # Four addresses of the range that is set aside for measuring networks (RFC 2544).
        server, client = f"198.19.{number}.1", f"198.19.{number}.2"
        hosts = Path("/etc/netns") / space / "hosts"
        try:
            hosts.parent.mkdir(parents=True, exist_ok=True)
            hosts.write_text(f"127.0.0.1 localhost\n{server} {' '.join(names)}\n")
            _check("ip", "link", "add", near, "type", "veth", "peer", "name", far, "netns", space)
            _check("ip", "address", "add", f"{server}/30", "dev", near)
            _check("ip", "link", "set", near, "up")
            _check("ip", "-n", space, "address", "add", f"{client}/30", "dev", far)
            _check("ip", "-n", space, "link", "set", far, "up")
            yield cls(space, server)
        finally:
            _run("ip", "netns", "delete", space)
            shutil.rmtree(hosts.parent, ignore_errors=True)

    def enter(self, *command: str) -> list[str]:
        """The command line that runs a command there."""
        return ["ip", "netns", "exec", self.space, *command]

    def run(self, *command: str, stdin: str = "", **variables: str) -> subprocess.CompletedProcess[str]:
        """Run a command there, with no trust but the system's own and these variables."""
        environment = {name: value for name, value in clean_environment().items() if name not in _TRUST}
        return subprocess.run(
            self.enter(*command),
            env=environment | variables,
            input=stdin,
            capture_output=True,
            text=True,
            timeout=COMMAND_TIMEOUT_S,
            check=False,
        )


def _claim_number() -> int:
    """A number whose namespace is made now: tests that run at once have no addresses in common."""
    numbers = list(range(256))
    random.shuffle(numbers)
    return next(number for number in numbers if _run("ip", "netns", "add", f"lan-{number}").returncode == 0)


_TRUST = frozenset({"SSL_CERT_FILE", "SSL_CERT_DIR", "CURL_CA_BUNDLE", "REQUESTS_CA_BUNDLE", "NODE_EXTRA_CA_CERTS"})


def _run(*argv: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(argv, capture_output=True, text=True, check=False)


def _check(*argv: str) -> None:
    done = _run(*argv)
    assert done.returncode == 0, done.stderr
