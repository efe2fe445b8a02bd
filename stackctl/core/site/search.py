"""What makes a folder a site, and which known site a person may have meant. Pure."""

from __future__ import annotations

import re
from collections.abc import Sequence
from difflib import get_close_matches
from pathlib import Path

from stackctl.errors import ConfigError

# Any of these; an .env only with our key in it, because many other programs have files of that name.
SITE_FILES = ("stack.yml", ".stack/state.json", "offline/current")
ENV_FILE = ".env"
# Known sites that are looked at for the one that was meant.
MOST_KNOWN = 20

# The second is what stands in an .env before a bundle makes its folder a site.
_KEY = re.compile(r"^\s*(export\s+)?(GATEWAY_KEY|BUNDLE_PUBLIC_KEY)\s*=", re.MULTILINE)


def is_site_env(text: str) -> bool:
    """Whether the text of an `.env` is one of ours."""
    return _KEY.search(text) is not None


def add_known_site(text: str, site: Path) -> str:
    """The list of known sites, one path a line, this one first. None is left out: each names images of its own."""
    others = [line for line in text.splitlines() if line and line != str(site)]
    return "".join(f"{line}\n" for line in [str(site), *others])


def find_nearest(folder: Path, sites: Sequence[Path], *, is_named: bool) -> Path | None:
    """The site that was probably meant.

    Args:
        folder: the folder that is no site.
        sites: the known sites, the likelier first.
        is_named: whether a person typed the folder, so that a similar name counts for more than a near place.
    """
    similar = get_close_matches(str(folder), [str(site) for site in sites], n=1, cutoff=0.8) if is_named else []
    if similar:
        return Path(similar[0])
    return max(sites, key=lambda site: len({*site.parents, site} & {*folder.parents, folder}), default=None)


def explain_no_site(
    folder: Path, nearest: Path | None, *, is_named: bool, is_there: bool, foreign: Path | None = None
) -> ConfigError:
    """The error of a command that found no site.

    Args:
        nearest: the site that was probably meant; None where there is none.
        is_there: whether the folder exists.
        foreign: a site above the folder that belongs to another user, and so was not taken; None where there is none.
    """
    signs = "a stack.yml, or an .env with GATEWAY_KEY"
    if not is_there:
        message = f"No site at {folder}: there is no such folder."
    elif is_named:
        message = f"No site at {folder}: it has neither {signs.replace(', or', ' nor')}."
    else:
        message = f"No site here: neither {folder} nor a folder above it has {signs}."
    new = f"'stackctl init {folder}'" if is_named else "'stackctl init'"
    if foreign is not None:
        message = f"No site here: the one in {foreign} belongs to another user."
        return ConfigError(message, f"if you trust it, name it: --site {foreign}")
    if nearest is None:
        return ConfigError(message, f"run {new} to make one, or name one: stackctl --site FOLDER ...")
    return ConfigError(message, f"the nearest one is {nearest}: name it with --site {nearest}; {new} makes a new one")
