"""What tries to leave a closed namespace is seen by name, address and port: in real namespaces of this kernel."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from stackctl.adapters.process.namespaces import run_isolated
from stackctl.core.proof.sightings import Watch, list_attempts, parse_watch
from stackctl.errors import RuntimeFailure
from tests.fakes import CHECKOUT

pytestmark = pytest.mark.usefixtures("namespaces")

SCRIPT = CHECKOUT / "stackctl" / "programs" / "watch.py"
# Runs in the namespaces: watches them while it runs a program, and prints what the watch wrote.
INSIDE = """
import subprocess, sys
from pathlib import Path
from stackctl.adapters.process.namespaces import watch_namespace
folder, script, program = sys.argv[1:]
with watch_namespace(Path(folder), Path(script)) as watch:
    subprocess.run([sys.executable, "-c", program], check=True)
print(watch.read(), end="")
"""

QUIET = """
import socket
for family, address in ((socket.AF_INET, "127.0.0.1"), (socket.AF_INET6, "::1")):
    with socket.create_server((address, 0), family=family) as server, \\
            socket.create_connection(server.getsockname()[:2]) as client:
        client.sendall(b"x")
        assert server.accept()[0].recv(1) == b"x"
"""

LOUD = """
import errno, socket
try:
    socket.getaddrinfo("models.example.invalid", 443)
except socket.gaierror:
    pass
for family, place in ((socket.AF_INET, ("192.0.2.1", 443)), (socket.AF_INET6, ("2001:db8::1", 8443))):
    with socket.socket(family) as client:
        assert client.connect_ex(place) == errno.ECONNREFUSED
question = b"\\1\\2\\1\\0\\0\\1\\0\\0\\0\\0\\0\\0" + b"\\7Planted\\4test\\0" + b"\\0\\1\\0\\1"
with socket.socket(type=socket.SOCK_DGRAM) as client:
    client.sendto(b"time?", ("192.0.2.7", 123))
    client.sendto(question, ("198.51.100.9", 53))
"""

# More than the watch's buffer holds while it is stopped.
FLOOD = """
import os, signal, socket
from pathlib import Path
(watch,) = [
    int(pid)
    for pid in Path(f"/proc/{os.getppid()}/task/{os.getppid()}/children").read_text().split()
    if int(pid) != os.getpid()
]
os.kill(watch, signal.SIGSTOP)
with socket.socket(type=socket.SOCK_DGRAM) as client:
    for _ in range(6000):
        client.sendto(bytes(60000), ("192.0.2.7", 9))
os.kill(watch, signal.SIGCONT)
"""


def watch_program(folder: Path, program: str) -> Watch:
    """What a program does in a closed namespace."""
    lines: list[str] = []
    argv = [sys.executable, "-c", INSIDE, str(folder), str(SCRIPT), program]
    run_isolated(argv, lines.append)
    return parse_watch("it", "\n".join(lines))


@pytest.fixture(params=["this user", "a user without rights"])
def _user(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """The namespaces are made with root's rights where there are some, and through a user namespace."""
    if request.param == "a user without rights":
        monkeypatch.setattr(os, "geteuid", lambda: 1000)


@pytest.mark.usefixtures("_user")
def test_a_program_that_speaks_to_itself_alone_tries_nothing(tmp_path: Path) -> None:
    watch = watch_program(tmp_path, QUIET)
    assert watch.gap == ""
    assert {"127.0.0.1", "::1"} <= watch.addresses
    assert list_attempts([watch], ()) == ()


@pytest.mark.usefixtures("_user")
def test_every_lookup_and_every_connection_is_seen_and_refused(tmp_path: Path) -> None:
    watch = watch_program(tmp_path, LOUD)
    assert watch.gap == ""
    found = {(a.kind.value, a.target, a.protocol, a.port) for a in list_attempts([watch], ())}
    assert found == {
        ("lookup", "models.example.invalid", "dns", 0),
        ("lookup", "planted.test", "dns", 0),
        ("connection", "192.0.2.1", "tcp", 443),
        ("connection", "2001:db8::1", "tcp", 8443),
        ("connection", "192.0.2.7", "udp", 123),
        ("connection", "198.51.100.9", "udp", 53),
    }


def test_packets_that_the_watch_could_not_look_at_are_told(tmp_path: Path) -> None:
    assert "dropped" in watch_program(tmp_path, FLOOD).gap


def test_a_command_that_fails_in_there_says_why() -> None:
    with pytest.raises(RuntimeFailure, match="planted reason"):
        run_isolated([sys.executable, "-c", "import sys; sys.exit('error: planted reason')"], lambda line: None)


def test_no_proxy_of_the_shell_reaches_the_rehearsal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("https_proxy", "http://192.0.2.3:3128")
    lines: list[str] = []
    run_isolated(["env"], lines.append)
    assert lines
    assert not [line for line in lines if "192.0.2.3" in line]
