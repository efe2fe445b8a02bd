"""XML-RPC over a unix socket, with a time limit: supervisor's own client waits for ever for one that hangs.

In: path of the socket and a time limit. Out: a proxy of the standard library's XML-RPC client. Does I/O.
"""

from __future__ import annotations

import socket
from http.client import HTTPConnection
from pathlib import Path
from xmlrpc.client import Error, Fault, ServerProxy, Transport

__all__ = ["Error", "Fault", "connect"]


class _UnixConnection(HTTPConnection):
    """An HTTP connection to a socket file."""

    def __init__(self, path: Path, timeout_s: float) -> None:
        super().__init__("localhost", timeout=timeout_s)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(str(self._path))


class _UnixTransport(Transport):
    def __init__(self, path: Path, timeout_s: float) -> None:
        super().__init__()
        self._path = path
        self._timeout_s = timeout_s

    def make_connection(self, host: object) -> HTTPConnection:
        return _UnixConnection(self._path, self._timeout_s)


def connect(path: Path, timeout_s: float) -> ServerProxy:
    """A proxy for one thread, to be used in a ``with`` statement. Calls raise OSError, ``Fault`` or ``Error``."""
    return ServerProxy("http://localhost", transport=_UnixTransport(path, timeout_s))
