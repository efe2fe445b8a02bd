"""Find the site that a command is for: the folder that was named, the current one, or the nearest above it.

Reads folders; writes one small file, the list of sites of this user: it helps to say what was meant and what is used.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path

from stackctl.adapters.files.site_files import save_text
from stackctl.core.site.search import (
    ENV_FILE,
    MOST_KNOWN,
    SITE_FILES,
    add_known_site,
    explain_no_site,
    find_nearest,
    is_site_env,
)

# Where somebody keeps thousands of folders, a site among them is found by its name.
MOST_NEIGHBOURS = 500


def find_site(folder: Path, environment: Mapping[str, str], *, is_named: bool) -> Path:
    """The folder of the site that is meant. Makes nothing.

    Args:
        folder: where to look: an absolute path without links.
        is_named: whether a person named the folder; then no folder above it is taken instead.

    Raises:
        ConfigError: there is no site; names the nearest that is known.
    """
    if find_mark(folder):
        return folder
    above = next(((site, mark) for site in folder.parents if (mark := find_mark(site))), None)
    trusted = above is not None and _is_trusted(*above, environment)
    if above and trusted and not is_named:
        return above[0]
    used = load_known_sites(environment)[:MOST_KNOWN]
    known = [*([above[0]] if above and trusted else []), *_list_below(folder), *used]
    raise explain_no_site(
        folder,
        find_nearest(folder, known, is_named=is_named),
        is_named=is_named,
        is_there=folder.is_dir(),
        foreign=above[0] if above and not trusted and not is_named else None,
    )


def find_mark(folder: Path) -> Path | None:
    """The file that makes a folder a site."""
    for name in SITE_FILES:
        if os.path.lexists(folder / name):
            return folder / name
    with suppress(OSError):
        if is_site_env((folder / ENV_FILE).read_text(encoding="utf-8", errors="replace")):
            return folder / ENV_FILE
    return None


def load_known_sites(environment: Mapping[str, str]) -> list[Path]:
    """Sites that this user made, started or loaded, and that still are there; the last one first."""
    with suppress(OSError, RuntimeError):
        lines = _find_list(environment).read_text(encoding="utf-8", errors="replace").splitlines()
        return [Path(line) for line in lines if line.startswith("/") and find_mark(Path(line))]
    return []


def remember_site(site: Path, environment: Mapping[str, str]) -> None:
    """Put a site first in the list. The list is a convenience: a home that cannot be written stops nothing."""
    with suppress(OSError, RuntimeError, UnicodeError):
        path = _find_list(environment)
        known = "".join(f"{other}\n" for other in load_known_sites(environment))
        save_text(path, add_known_site(known, site), 0o600)


def _find_list(environment: Mapping[str, str]) -> Path:
    base = environment.get("XDG_STATE_HOME") or str(Path.home() / ".local" / "state")
    return Path(base) / "stackctl" / "sites"


def _list_below(folder: Path) -> Iterator[Path]:
    with suppress(OSError), os.scandir(folder) as entries:
        for _, entry in zip(range(MOST_NEIGHBOURS), entries, strict=False):
            if entry.is_dir() and find_mark(Path(entry.path)):
                yield Path(entry.path)


def _is_trusted(site: Path, mark: Path, environment: Mapping[str, str]) -> bool:
    """Whether this user, or root, made the site: in a folder above, such as /tmp, anyone may have put a stack.yml."""
    trusted = {0, os.geteuid()}
    if os.geteuid() == 0 and environment.get("SUDO_UID", "").isdecimal():
        trusted.add(int(environment["SUDO_UID"]))
    with suppress(OSError):
        return {site.stat().st_uid, mark.lstat().st_uid} <= trusted
    return False
