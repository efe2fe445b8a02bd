"""The seams of ``Effects``, each made of what a ``World`` holds."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from copy import copy
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from stackctl.core.access.replies import AdminReply
from stackctl.core.health.doctor_input import FileFacts
from stackctl.core.machine.gpu import GpuMemory
from stackctl.core.machine.host import Host
from stackctl.core.machine.limits import Limits
from stackctl.core.models.files import ModelFile
from stackctl.core.site.loaded_site import LoadedSite
from stackctl.core.site.site_state import SiteState
from stackctl.core.stack.names import GATEWAY
from stackctl.core.stack.runtime import Answer, ChatPiece, StartPlan
from tests.fakes.folders import CHECKOUT, DATA_ROOT
from tests.fakes.models import build_model_files
from tests.fakes.runtime import NO_DATABASE, FakeRuntime

if TYPE_CHECKING:
    from tests.fakes.world import World


def override(seam: Any, **methods: object) -> Any:
    """The same seam with other methods."""
    changed = copy(seam)
    for name, method in methods.items():
        assert hasattr(seam, name), name
        setattr(changed, name, method)
    return changed


@dataclass
class FakeFiles:
    """The world's files, and the project's own under ``DATA_ROOT``."""

    world: World

    def load_text(self, path: Path, *, is_exact: bool = False) -> str | None:
        if path.is_relative_to(DATA_ROOT):
            file = CHECKOUT / path.relative_to(DATA_ROOT)
            return file.read_text(encoding="utf-8") if file.is_file() else None
        if path.is_relative_to(CHECKOUT / "stackctl"):
            return path.read_text(encoding="utf-8")
        return self.world.files.get(path)

    def save_text(self, path: Path, text: str, mode: int) -> bool:
        changed = self.world.files.get(path) != text
        self.world.files[path], self.world.modes[path] = text, mode
        return changed

    def remove_file(self, path: Path) -> None:
        self.world.files.pop(path, None)

    def is_link(self, path: Path) -> bool:
        return path in self.world.links

    def find_real(self, path: Path) -> Path:
        return path

    def is_same_file(self, one: Path, other: Path) -> bool:
        return one == other

    def load_facts(self, path: Path, head_bytes: int = 0) -> FileFacts:
        identity = self.world.identities.get(path, [1, 1, 1])
        return FileFacts(str(path), self.world.modes.get(path), identity=identity, age_s=self.world.file_age_s)

    def load_model_files(self, path: Path) -> tuple[ModelFile, ...]:
        return self.world.broken_models.get(path) or build_model_files(path)

    def hash_folder(self, path: Path) -> str:
        return "0123456789ab"

    def hold_lock(self, path: Path) -> AbstractContextManager[None]:
        return nullcontext()


@dataclass
class FakeMachine:
    """The world's host."""

    world: World

    def load_host(self, with_docker: bool) -> Host:
        return self.world.host

    def load_memory_bytes(self) -> int:
        return self.world.memory_bytes

    def load_limits(self) -> Limits:
        return self.world.host.limits

    def load_gpu_memory(self) -> GpuMemory:
        return self.world.gpu_memory

    def load_cpu_features(self) -> frozenset[str] | None:
        return self.world.cpu_features

    def load_resident_bytes(self, pid: int) -> int | None:
        return None

    def list_ancestors(self, pid: int) -> tuple[int, ...]:
        return self.world.ancestors.get(pid, ())

    def find_program(self, name: str, folders: Sequence[str] = ()) -> str | None:
        return self.world.programs.get(name)

    def hold_interrupts(self) -> AbstractContextManager[None]:
        return nullcontext()

    def make_key(self) -> str:
        return f"sk-made-for-tests-{len(self.world.reports)}"


@dataclass
class FakeRuntimes:
    """The world's two runtimes."""

    world: World

    def make(self, name: str, loaded: LoadedSite, gpu: str) -> FakeRuntime:
        return self.world.runtimes[name]

    def find(self, state: SiteState) -> FakeRuntime:
        return self.world.runtimes[state.runtime]

    def find_forgotten(self, name: str) -> tuple[FakeRuntime, ...]:
        return (self.world.runtimes[name],) if self.world.runtimes[name].states else ()


@dataclass
class FakeNetwork:
    """A healthy gateway in front of the demo model, wherever one runs."""

    world: World

    def fetch(
        self,
        url: str,
        *,
        key: str = "",
        timeout_s: float = 5.0,
        body: Mapping[str, object] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Answer:
        answer = self._answer("/" + url.split("/", 3)[3], key, body)
        asks_stream = body is not None and body.get("stream")
        return (
            replace(answer, body=_stream(json.loads(answer.body))) if asks_stream and answer.status == 200 else answer
        )

    def stream_chat(self, url: str, key: str, body: Mapping[str, object], timeout_s: float) -> Iterator[ChatPiece]:
        return iter([ChatPiece("po"), ChatPiece("ng"), ChatPiece("", 2)])

    def post_action(self, url: str, key: str, action: Mapping[str, object], timeout_s: float) -> AdminReply | None:
        if self.world.gateway_failure:
            raise self.world.gateway_failure
        if not any(GATEWAY in runtime.states for runtime in self.world.runtimes.values()):
            return None
        self.world.actions.append({"url": url, "key": key, **action})
        answer = self.world.action_answers.get(str(action["do"]), NO_DATABASE)
        return AdminReply(answer["status"], answer["body"])

    def _answer(self, path: str, key: str, body: Mapping[str, object] | None) -> Answer:
        self.world.requests.append(path if body is None else f"{path} {body['model']}")
        runtime = next((item for item in self.world.runtimes.values() if GATEWAY in item.states), None)
        if runtime is None or runtime.plan is None:
            return Answer(0, error="refused")
        if path in self.world.answers:
            return self.world.answers[path]
        if path == "/health/readiness":
            return Answer(503 if GATEWAY in runtime.unready else 200)
        if key != runtime.plan.variables["GATEWAY_KEY"]:
            return Answer(401, '{"error": {"message": "no key"}}')
        return Answer(200, json.dumps(_answer(path, runtime.plan)))


@dataclass
class FakeTerminal:
    """Remembers what it was told and asked."""

    world: World

    def report(self, text: str, /) -> None:
        self.world.reports.append(text)

    def finish(self) -> None:
        pass

    def confirm(self, question: str, /) -> bool:
        self.world.questions.append(question)
        return self.world.says_yes


@dataclass
class FakeClock:
    """A clock that only goes on while somebody sleeps."""

    world: World

    def monotonic(self) -> float:
        return self.world.now

    def sleep(self, seconds: float, /) -> None:
        self.world.now += seconds
        self.world.on_sleep()

    def now(self) -> datetime:
        return self.world.date


def _answer(path: str, plan: StartPlan) -> dict[str, Any]:
    """What a healthy gateway in front of the demo model says."""
    if path == "/v1/models":
        return {"data": [{"id": route.name} for route in plan.stack.gateway.routes]}
    if path == "/v1/embeddings":
        return {"data": [{"embedding": [0.5, -0.5]}]}
    known = json.loads((CHECKOUT / "models" / "demo.json").read_text(encoding="utf-8"))["answers"][0]["answer"]
    return {"choices": [{"message": {"content": known}}], "usage": {"completion_tokens": 1}}


def _stream(known: Mapping[str, Any]) -> str:
    """The same answer as server-sent events, a character each."""
    deltas = [{"choices": [{"delta": {"content": letter}}]} for letter in known["choices"][0]["message"]["content"]]
    return "".join(f"data: {text}\n\n" for text in (*map(json.dumps, deltas), "[DONE]"))
