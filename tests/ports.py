"""TCP ports of loopback for tests: free ones, and no two tests on this machine get the same.

A free port may be taken by another test before its server listens. So a block is claimed first, by a name in the
kernel's own space of socket names that lives as long as the process that runs the tests. Linux only.
"""

from __future__ import annotations

import random
import socket
import sys

BLOCK = 8
# Below the range from which the kernel takes ports for outgoing connections.
_FIRST_PORTS = range(20_000, 32_000, BLOCK)
_claims: list[socket.socket] = []


def claim_ports() -> range:
    """Eight neighbouring ports that nobody listens on and that no other test gets while this process lives."""
    for first in random.sample(_FIRST_PORTS, len(_FIRST_PORTS)):
        ports = range(first, first + BLOCK)
        if _claim(first) and all(map(is_free, ports)):
            return ports
    raise AssertionError(f"no free ports from {_FIRST_PORTS.start} to {_FIRST_PORTS.stop}")


def claim_port() -> int:
    """One port, likewise."""
    return claim_ports()[0]


def is_free(port: int) -> bool:
    """Whether the port can be listened on."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


def _claim(first: int) -> bool:
    if sys.platform != "linux":
        return True
    claim = socket.socket(socket.AF_UNIX)
    try:
        claim.bind(f"\0stack-test-ports-{first}")
    except OSError:
        claim.close()
        return False
    _claims.append(claim)
    return True
