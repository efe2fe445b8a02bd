"""Options of connections to servers. Does I/O: sets them."""

from __future__ import annotations

import socket

# An engine's container that is killed takes its network with it, and no end of the connection is ever heard: TCP asks
# whether the other side is still there, and a client hears within 20 s instead of at the time-out.
_PROBE_AFTER_S, _PROBES = 5, 3


def watch_for_dead_network(connection: socket.socket) -> None:
    """Have the system notice by itself when the other side can no longer be reached."""
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for name, value in (("TCP_KEEPIDLE", _PROBE_AFTER_S), ("TCP_KEEPINTVL", _PROBE_AFTER_S), ("TCP_KEEPCNT", _PROBES)):
        if hasattr(socket, name):  # macOS names one of them otherwise
            connection.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), value)
