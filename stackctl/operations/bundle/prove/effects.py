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
    """What happens to a Docker engine's images while a rehearsal is under way."""

    @property
    def images(self) -> Mapping[str, str]: ...
    def list_pulled(self) -> tuple[str, ...]: ...
    def find_gap(self) -> str: ...


class NamespaceWatch(Protocol):
    """What a watch of this process's own network namespace has written; whole once it has ended."""

    def read(self) -> str: ...


@dataclass(frozen=True, slots=True)
class RehearsalEffects:
    """What a rehearsal does to the world beside ``Effects``.

    Attributes:
        make_rehearsal: makes the compose runtime of a project over the files in a folder, which may use these images
            and pulls nothing.
        stop_containers: stops services of a project and keeps their containers.
        watch_engine: watches a Docker engine's images, given the names of the stack's own.
        rehearse_isolated: has ``rehearse_processes`` run in namespaces of its own; gives what it renders.
        watch_namespace: closes and watches this process's namespaces, writing to this folder.
        remove_if_killed: has a project's containers removed if this process ends before the block does, unless another
            command holds this lock by then.
        now: gives the time in UTC.
        folder: the site's ``offline/`` folder.
        check_images: finds what is wrong with the Docker engine's images of a release.
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
