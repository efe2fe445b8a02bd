"""What every command is given: where its site is, and the adapters for one operation on it. Looks for the site's
folder.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from stackctl.cli.console import Progress
from stackctl.errors import ConfigError, Finding, Severity

if TYPE_CHECKING:
    from stackctl.operations.effects import Effects


@dataclass(frozen=True, slots=True)
class Context:
    """Where to look for a command's site.

    Attributes:
        folder: the folder that was named on the command line, or the current one.
        is_named: whether the folder was named.
    """

    folder: Path
    is_named: bool = False

    @property
    def site(self) -> Path:
        """The site's folder: the given one, or, if it was not named, the nearest above it that is a site.

        Raises:
            ConfigError: there is no site.
        """
        from stackctl.cli.world.sites import find_site

        return find_site(self.folder, is_named=self.is_named)

    def open(self, flags: Mapping[str, str | None] | None = None) -> AbstractContextManager[Effects]:
        """Adapters for one operation on the site, with the flags that were given."""
        return _open(self.site, flags or {})

    def open_anywhere(self) -> AbstractContextManager[Effects]:
        """Adapters for what works without a site too; the files of a folder that is no site are not looked at.

        Raises:
            ConfigError: the folder was named, and is no site.
        """
        try:
            return self.open()
        except ConfigError:
            if self.is_named:
                raise
            # Where a site's state would be, nobody keeps settings; the disk is the right one.
            return _open(self.folder / ".stack", {})

    def open_here(self) -> AbstractContextManager[Effects]:
        """Adapters for what makes the folder a site."""
        return _open(self.folder, {})

    def find_place(self) -> Context:
        """A context of the site, named; where there is none, of the folder that is to become one."""
        with suppress(ConfigError):
            return Context(self.site, is_named=True)
        return self

    def check_site(self) -> tuple[Finding, ...]:
        """A note where there is no site, for what works without one."""
        try:
            self.site  # noqa: B018
        except ConfigError as error:
            return (Finding("site", error.message, error.hint, Severity.WARNING),)
        return ()

    def remember(self) -> None:
        """Remember the site, so that a command that finds no site can name it."""
        from stackctl.cli.world.sites import remember_site

        remember_site(self.folder)


@contextmanager
def _open(site: Path, flags: Mapping[str, str | None]) -> Iterator[Effects]:
    """Build the adapters, and clear the progress line at the end."""
    from stackctl.cli.world.effects import build_effects

    progress = Progress()
    try:
        yield build_effects(site, {name: value for name, value in flags.items() if value}, progress)
    finally:
        progress.finish()
