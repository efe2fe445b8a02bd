"""A stage for rehearsals of the stack made of values: an engine, a namespace, a folder, and what each is told."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

from stackctl.core.bundle.load.plan import InstalledRange
from stackctl.errors import Finding
from stackctl.operations.bundle.prove.effects import RehearsalEffects
from stackctl.operations.bundle.prove.prove import ProveRequest, SavedReceipt, run_prove
from stackctl.operations.bundle.prove.rehearse import rehearse_processes, render_rehearsal
from tests.fakes import SITE, FakeRuntime, World

READY = {"kind": "ready", "addresses": ["127.0.0.1", "172.18.0.2"], "gateways": []}
END = {"kind": "end", "dropped": 0}
LOOKUP = {"kind": "lookup", "name": "models.example.com", "server": "127.0.0.11"}
SERVICES = ("inference-chat", "inference-embed", "ingress", "api-gateway")
PROVE = SITE / ".stack" / "prove"


def write_watch(*events: Mapping[str, object]) -> str:
    return "\n".join(json.dumps(event) for event in (READY, *events, END))


@dataclass
class FakeEngine:
    """A container engine's images, and what happens to them."""

    images: dict[str, str] = field(default_factory=dict)
    pulled: tuple[str, ...] = ()
    gap: str = ""

    def list_pulled(self) -> tuple[str, ...]:
        return self.pulled

    def find_gap(self) -> str:
        return self.gap


@dataclass
class FakeWatch:
    """A namespace's watch: what it says once it has ended."""

    text: str
    is_over: bool = False

    def read(self) -> str:
        assert self.is_over, "a watch is whole only when it has ended"
        return self.text


@dataclass
class FakeFolder:
    """The site's ``offline/``.

    Attributes:
        content: what every stretch of an installed file reads as.
    """

    root: Path = SITE / "offline"
    content: bytes = b""

    def prepare(self) -> None:
        pass

    def read_range(self, item: InstalledRange) -> Iterator[bytes]:
        yield self.content


class RehearsalWorld:
    """The stage of a rehearsal; the rehearsed runtime is one of the world's.

    Attributes:
        watch: what every watch writes.
        stopped: groups of services in the order in which they were stopped.
        projects: projects and folders that a rehearsal was made for.
    """

    def __init__(self, world: World) -> None:
        self.world = world
        self.rehearsal = FakeRuntime("compose", log=write_watch())
        world.runtimes["rehearsal"] = self.rehearsal
        self.engine = FakeEngine()
        self.watched_images: tuple[str, ...] = ()
        self.watch = write_watch()
        self.stopped: list[tuple[str, tuple[str, ...]]] = []
        self.projects: list[tuple[str, Path]] = []
        self.folder = FakeFolder()
        self.guarded: list[tuple[str, Path]] = []
        self.image_findings: list[Finding] = []
        self.moments: Iterator[int] = iter(range(1000))

    @property
    def effects(self) -> RehearsalEffects:
        return RehearsalEffects(
            make_rehearsal=self._make_rehearsal,
            stop_containers=lambda project, names: self.stopped.append((project, tuple(names))),
            watch_engine=self._watch_engine,
            rehearse_isolated=lambda limit: render_rehearsal(
                rehearse_processes(self.world.effects, self.effects, limit)
            ),
            watch_namespace=self._watch_namespace,
            remove_if_killed=self._guard,
            now=lambda: datetime(2026, 1, 2, tzinfo=UTC) + timedelta(minutes=next(self.moments)),
            folder=self.folder,  # type: ignore[arg-type]
            check_images=lambda manifest: self.image_findings,
        )

    def prove(self, **request: object) -> SavedReceipt:
        wanted = ProveRequest(sign=lambda data: f"signature of {len(data)} bytes", **request)  # type: ignore[arg-type]
        return run_prove(self.world.effects, self.effects, wanted)

    def _make_rehearsal(self, project: str, folder: Path, loaded: object, images: tuple[str, ...]) -> FakeRuntime:
        self.projects.append((project, folder))
        return self.rehearsal

    @contextmanager
    def _guard(self, project: str, lock: Path) -> Iterator[None]:
        self.guarded.append((project, lock))
        yield
        assert self.rehearsal.calls[-1] == "stop", "the guard watches until nothing is left to remove"

    @contextmanager
    def _watch_engine(self, names: Sequence[str]) -> Iterator[FakeEngine]:
        self.engine.images = {name: f"sha256:{number}" for number, name in enumerate(names)}
        yield self.engine

    @contextmanager
    def _watch_namespace(self, folder: Path) -> Iterator[FakeWatch]:
        watch = FakeWatch(self.watch)
        yield watch
        assert self.world.running == [], "services must end before the watch does"
        watch.is_over = True
