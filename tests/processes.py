"""What runs and listens on this machine, read from ``/proc``."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path


def is_alive(pid: int) -> bool:
    """Whether the process runs; one that only waits to be collected does not."""
    return _read_stat(pid)[:1] not in ([], ["Z"], ["X"])


def list_descendants(pid: int) -> list[int]:
    """Processes below this one."""
    children = [child for child in _list_pids() if _read_stat(child)[1:2] == [str(pid)]]
    return [found for child in children for found in (child, *list_descendants(child))]


def list_listening(pids: Sequence[int]) -> set[tuple[str, int]]:
    """(address in the kernel's hexadecimal form, port) of every socket on which these processes can be reached."""
    inodes = {link for pid in pids for link in _list_links(pid)}
    found = set()
    for table, state in (("tcp", "0A"), ("tcp6", "0A"), ("udp", "07"), ("udp6", "07")):
        for row in map(str.split, Path(f"/proc/net/{table}").read_text().splitlines()[1:]):
            if row[3] == state and f"socket:[{row[9]}]" in inodes:
                address, _, port = row[1].rpartition(":")
                found.add((address, int(port, 16)))
    return found


def _list_pids() -> Iterator[int]:
    return (int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdecimal())


def _read_stat(pid: int) -> list[str]:
    """SiteState, parent and what follows; empty when the process is gone."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[-1].split()
    except (FileNotFoundError, ProcessLookupError):
        return []


def _list_links(pid: int) -> Iterator[str]:
    for entry in Path(f"/proc/{pid}/fd").iterdir():
        try:
            yield str(entry.readlink())
        except FileNotFoundError:
            continue
