"""A site as its files say it is: settings, `stack.yml` and models as stacks, one for each runtime. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from stackctl.core.engine.choice import EngineChoice
from stackctl.core.lan.pair import Pair
from stackctl.core.settings.settings import Settings
from stackctl.core.settings.sources import ResolvedSettings
from stackctl.core.settings.stackfile import StackFile
from stackctl.core.stack.image_choice import Images
from stackctl.core.stack.stack import RuntimePaths, Stack
from stackctl.errors import Finding

if TYPE_CHECKING:
    from stackctl.core.bundle.load.release import Release


@dataclass(frozen=True, slots=True)
class LoadedSite:
    """A site as its files say it is.

    Attributes:
        resolved: settings with their origins.
        process: the stack as supervised processes; its engine may differ from the containers'.
        compose: the stack as containers.
        choice: the engine of the process runtime, in the form that works on this machine.
        warnings: findings that stop nothing.
        release: what a bundle brought and 'offline-load' made current; ``None`` where the site's own files decide.
        pair: what the app lan starts with; None where there is no such app, or the files are not there.
        override: text of the site's own `compose.override.yml`; empty where there is none.
    """

    resolved: ResolvedSettings
    stackfile: StackFile
    process: Stack
    compose: Stack
    images: Images
    choice: EngineChoice
    paths: RuntimePaths
    warnings: tuple[Finding, ...]
    release: Release | None = None
    override: str = ""
    pair: Pair | None = None

    @property
    def settings(self) -> Settings:
        """The settings' values."""
        return self.resolved.values

    def choose_stack(self, runtime: str) -> Stack:
        """The stack of this runtime."""
        return self.compose if runtime == "compose" else self.process
