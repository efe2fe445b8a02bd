"""What lies below a file: a disk of this machine that turns, one that does not, or something else."""

from __future__ import annotations

import os
from pathlib import Path


def turns(path: Path) -> bool:
    """Whether a file's disk has heads to move; one that does not say counts as one without."""
    return _read_rotational(path) == "1"


def is_solid(path: Path) -> bool:
    """Whether a file is known to lie on a disk of this machine that has no heads: flash, or a virtual one.

    Network and stacked file systems (NFS, FUSE, overlay, btrfs) have no such device.
    """
    return _read_rotational(path) == "0"


def _read_rotational(path: Path) -> str | None:
    """What the kernel says of the disk; ``None`` where there is no disk, or it says nothing.

    A virtual machine's disk calls itself rotational whatever lies below it.
    """
    try:
        device = path.stat().st_dev
        place = Path(f"/sys/dev/block/{os.major(device)}:{os.minor(device)}").resolve()
        files = (folder / "queue" / "rotational" for folder in (place, place.parent))
        says = next((file.read_text().strip() for file in files if file.is_file()), None)
    except OSError:
        return None
    is_virtual = any(part.startswith(("virtio", "vbd-", "vmbus")) for part in place.parts)
    return "0" if says is not None and is_virtual else says
