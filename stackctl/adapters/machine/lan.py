"""This machine in the local network: its own names, and a new certificate authority. Reads the system; random."""

from __future__ import annotations

import socket
from contextlib import suppress
from datetime import datetime

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec

from stackctl.core.lan.authority import Authority, build_authority
from stackctl.core.lan.names import Names, parse_names

# Of networks for documentation: a route to them is the way out, and choosing it sends nothing.
_ELSEWHERE = ((socket.AF_INET, "192.0.2.1"), (socket.AF_INET6, "2001:db8::1"))


def find_own_names() -> tuple[str, ...]:
    """The host name, unless it only means this machine itself, and the address that others see it under."""
    name = socket.gethostname().lower()
    found = [] if name.partition(".")[0] == "localhost" else [name]
    for family, elsewhere in _ELSEWHERE:
        with suppress(OSError), socket.socket(family, socket.SOCK_DGRAM) as probe:
            probe.connect((elsewhere, 9))
            found.append(str(probe.getsockname()[0]))
            break
    return tuple(item for item in found if _is_name(item))


def make_authority(names: Names, now: datetime) -> Authority:
    """A new authority with a fresh key."""
    return build_authority(names, ec.generate_private_key(ec.SECP256R1()), x509.random_serial_number(), now)


def _is_name(text: str) -> bool:
    try:
        return bool(parse_names([text]))
    except ValueError:
        return False
