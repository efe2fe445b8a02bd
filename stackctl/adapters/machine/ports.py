"""Listening TCP ports and the processes that hold them, from ``/proc``.

In: the root under which ``/proc`` is found. Out: ``PortHolder`` by port. Reads only. A process of another
user is seen without its name unless this runs as root; where there is no ``/proc`` nothing is seen.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

from stackctl.core.machine.host import PortHolder

# Below, os in place of pathlib: a busy host has 100,000 open files, and it is four times as fast.
_LISTENING: Final = "0A"
_TABLES: Final = ("proc/net/tcp", "proc/net/tcp6")


def load_ports(root: Path = Path("/")) -> dict[int, PortHolder]:
    """All listening TCP ports of this network namespace and who holds them."""
    sockets: dict[str, tuple[int, str]] = {}
    for table in _TABLES:
        sockets.update(_parse_table(_read(root / table)))
    if not sockets:
        return {}
    holders = _find_holders(root / "proc", frozenset(sockets))
    ports: dict[int, PortHolder] = {}
    for inode, (port, address) in sockets.items():
        pid, name = holders.get(inode, (0, ""))
        # One program often listens on IPv4 and IPv6; the entry that names a process is the better one.
        if port not in ports or pid:
            ports[port] = PortHolder(pid, name, address)
    return ports


def _parse_table(text: str) -> dict[str, tuple[int, str]]:
    """Inode -> (port, address in hexadecimal) of the listening sockets of one table."""
    sockets = {}
    for line in text.splitlines()[1:]:
        cells = line.split()
        if len(cells) > 9 and cells[3] == _LISTENING:
            address, _, port = cells[1].rpartition(":")
            sockets[cells[9]] = (int(port, 16), address)
    return sockets


def _find_holders(proc: Path, inodes: frozenset[str]) -> dict[str, tuple[int, str]]:
    """Inode -> (pid, name) for those sockets whose process this user may look at."""
    holders: dict[str, tuple[int, str]] = {}
    wanted = {f"socket:[{inode}]": inode for inode in inodes}
    try:
        pids = sorted((name for name in os.listdir(proc) if name.isdecimal()), key=int)  # noqa: PTH208
    except OSError:
        return {}
    for pid in pids:
        folder = proc / pid / "fd"
        try:
            targets = {_read_link(folder / name) for name in os.listdir(folder)}  # noqa: PTH208
        except OSError:
            continue
        for target in targets & wanted.keys():
            # A listening socket is inherited by children; the lowest process id is its owner.
            holders.setdefault(wanted[target], (int(pid), _read(proc / pid / "comm").strip()))
    return holders


def _read_link(path: Path) -> str:
    try:
        return os.readlink(path)  # noqa: PTH115
    except OSError:
        return ""


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""
