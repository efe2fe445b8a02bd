"""What a rehearsal needs beyond the ordinary effects, as types: adapters in real life, fakes in tests."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from stackctl.core.bundle.format.manifest import Manifest
    from stackctl.core.site.loaded_site import LoadedSite
    from stackctl.errors import Finding
    from stackctl.operations.bundle.load.effects import OfflineFolder
    from stackctl.operations.effects import Runtime


class EngineWatch(Protocol):
    """What happens to a container engine's images."""

    @property
    def images(self) -> Mapping[str, str]: ...
    def list_pulled(self) -> tuple[str, ...]: ...
    def find_gap(self) -> str: ...


class NamespaceWatch(Protocol):
    """What a watch of this process's own network namespace has written; whole once it has ended."""

    def read(self) -> str: ...


@dataclass(frozen=True, slots=True)
class RehearsalEffects:
    """Where a rehearsal takes place.

    Attributes:
        make_rehearsal: the compose runtime of this project over the files in this folder, which may use these images
            and pulls nothing.
        stop_containers: stop services of a project and keep their containers.
        watch_engine: watch an engine's images, with the names of the stack's own.
        rehearse_isolated: have ``rehearse_processes`` run in namespaces of its own; what it renders.
        watch_namespace: close and watch this process's namespaces, writing to this folder.
        remove_if_killed: have a project's containers removed if this process ends before the block does, unless
            another command holds this lock by then.
        now: the time in UTC.
        folder: the site's ``offline/``.
        check_images: what is wrong with the engine's images of a release.
    """

    make_rehearsal: Callable[[str, Path, LoadedSite, tuple[str, ...]], Runtime]
    stop_containers: Callable[[str, Sequence[str]], None]
    watch_engine: Callable[[Sequence[str]], AbstractContextManager[EngineWatch]]
    rehearse_isolated: Callable[[float | None], str]
    watch_namespace: Callable[[Path], AbstractContextManager[NamespaceWatch]]
    remove_if_killed: Callable[[str, Path], AbstractContextManager[None]]
    now: Callable[[], datetime]
    folder: OfflineFolder
    check_images: Callable[[Manifest], Sequence[Finding]]
