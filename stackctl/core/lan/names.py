"""The names under which other machines reach this site: host names and addresses. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address, ip_address

_HOST = re.compile(r"(?=.{1,253}\Z)[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?(\.[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?)*\Z")

Address = IPv4Address | IPv6Address


@dataclass(frozen=True, slots=True)
class Names:
    """Names of one site, n >= 1 together.

    Attributes:
        hosts: host names in lower case, none of them an address.
        addresses: IP addresses.
        first: the one that is shown to people, as it was written.
    """

    hosts: tuple[str, ...]
    addresses: tuple[Address, ...]
    first: str

    def __iter__(self) -> Iterator[str]:
        """Every name as text, hosts first."""
        return iter((*self.hosts, *map(str, self.addresses)))

    @property
    def url_host(self) -> str:
        """The first name as a URL writes it."""
        return f"[{self.first}]" if ":" in self.first else self.first


def parse_names(texts: Sequence[str]) -> Names:
    """Host names and addresses, each once, in their order.

    Raises:
        ValueError: there is none, or one is no name that a certificate can be for; says which.
    """
    hosts: dict[str, None] = {}
    addresses: dict[Address, None] = {}
    for text in texts:
        found = _parse_name(text.strip().lower().removesuffix("."))
        if isinstance(found, str):
            hosts[found] = None
        else:
            addresses[found] = None
    if not hosts and not addresses:
        raise ValueError("no name is given; expected a host name or an address")
    first = _parse_name(texts[0].strip().lower().removesuffix("."))
    return Names(tuple(hosts), tuple(addresses), str(first))


def _parse_name(text: str) -> str | Address:
    try:
        address = ip_address(text)
    except ValueError:
        # What ends in digits alone is an address that was mistyped, and no client takes it for a name.
        if not _HOST.match(text) or text.rpartition(".")[2].isdecimal():
            raise ValueError(f"'{text}' is neither a host name nor an address") from None
        return text
    if address.is_unspecified or address.is_multicast or getattr(address, "scope_id", None):
        raise ValueError(f"'{text}' is no address that a machine is reached at")
    return address
