"""A machine made of values: the files of a site, model headers, a host, two runtimes and a clock.

``World.effects`` is what the command line passes to an operation, without a disk, a process, a socket or a wait.
The project's own templates are the checkout's, under a path that is the same on every machine.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from stackctl.core.engine.build import Build, Toolkit
from stackctl.core.engine.choice import EngineForm
from stackctl.core.engine.trial import EngineRecord, TrialResult
from stackctl.core.health.doctor_input import FileFacts
from stackctl.core.machine.gpu import GpuMemory
from stackctl.core.machine.host import DockerFacts, Host, RuntimeName
from stackctl.core.models.files import ModelFile
from stackctl.core.models.gguf import GGUFHeader, build_shard_names
from stackctl.core.stack.runtime import Answer, ChatPiece, Phase, ServiceState, StartPlan
from stackctl.core.stack.stack import GATEWAY, Service
from stackctl.errors import StackError
from stackctl.operations.effects import Effects, Report
from tests.gguf_files import build_header

CHECKOUT = Path(__file__).parent.parent
SITE = Path("/site")
DATA_ROOT = Path("/opt/stackctl")

KEYS = {
    "GATEWAY_ADMIN_KEY": "planted-admin-key",
    "GATEWAY_KEY": "planted-gateway-key",
    "INFERENCE_API_KEY": "planted-engine-key",
}
DOCKER = DockerFacts("28.2.2", "28.5.2", compose_version="2.40.3")


def write_env(**values: object) -> str:
    """The text of an `.env` with the three keys and these values."""
    return "".join(f"{name}={value}\n" for name, value in {**KEYS, **values}.items())


def build_model_files(path: Path) -> tuple[ModelFile, ...]:
    """The files of a model that is there and whole; what it is follows from its name."""
    names = build_shard_names(path.name)
    header = _DEMO if path.name == "demo.gguf" else build_header()
    if "embed" in path.name:
        header = build_header(architecture="bert", context_length=512, pooling_type=1)
    return tuple(
        ModelFile(str(path.parent / name), _split(header, number, len(names))) for number, name in enumerate(names)
    )


_DEMO = build_header(size_bytes=5_000_000, expected_bytes=5_000_000, tensor_bytes=4_900_000, context_length=2048)


def _split(header: GGUFHeader, number: int, count: int) -> GGUFHeader:
    changes = {"split_no": number, "split_count": count} if count > 1 else {}
    return build_header(**{name: getattr(header, name) for name in GGUFHeader.__slots__} | changes)


@dataclass
class FakeRuntime:
    """A runtime that starts services in no time and remembers what was asked of it.

    Attributes:
        failures: method name to what it raises.
        unready: services that answer 503 for ever.
        calls: names of the changing methods, in order.
        start_logs: service to the first lines of its start.
        lost_gpu: what a container says that has lost its GPU.
    """

    name: RuntimeName
    failures: dict[str, BaseException] = field(default_factory=dict)
    unready: set[str] = field(default_factory=set)
    calls: list[str] = field(default_factory=list)
    states: dict[str, ServiceState] = field(default_factory=dict)
    plan: StartPlan | None = None
    log: str = ""
    start_logs: dict[str, str] = field(default_factory=dict)
    lost_gpu: str = ""
    starts: int = 0
    leftovers: tuple[int, ...] = ()

    def list_commands(self, plan: StartPlan) -> tuple[str, ...]:
        return (f"start {len(plan.services)} services",)

    def prepare(self, plan: StartPlan, report: Report) -> None:
        self._enter("prepare")

    def start(self, plan: StartPlan, report: Report) -> tuple[str, ...]:
        before = {} if self.plan is None else {s.name: self._mark(self.plan, s) for s in self.plan.services}
        self.plan = plan
        started = [s.name for s in plan.services if before.get(s.name) != self._mark(plan, s) or not self.states]
        for number, service in enumerate(plan.services):
            before_it = self.states.get(service.name)
            start = before_it.start if before_it and service.name not in started else self._count_start()
            self.states[service.name] = ServiceState(
                service.name, Phase.RUNNING, pid=100 + number, uptime_s=60, start=start
            )
        self._enter("start")
        return tuple(started)

    def stop(self, report: Report) -> bool:
        self._enter("stop")
        was_running, self.states = bool(self.states), {}
        return was_running

    def restart(self, names: tuple[str, ...], report: Report) -> None:
        self._enter("restart")
        for service in names:
            self.states[service] = replace(self.states[service], start=self._count_start(), uptime_s=1.0)

    def list_leftovers(self) -> tuple[int, ...]:
        return self.leftovers

    def list_states(self) -> dict[str, ServiceState]:
        return dict(self.states)

    def list_ports(self) -> frozenset[int]:
        return frozenset()

    def fetch(self, service: Service, path: str, secrets: Mapping[str, str], timeout_s: float) -> Answer:
        if service.name not in self.states:
            return Answer(0, error="refused")
        if service.name in self.unready:
            return Answer(503, '{"error": {"message": "Loading model"}}')
        model = service.model
        assert model is not None
        if path != "/props":
            return Answer(200)
        settings = {"n_ctx": model.context_length}
        props = {"model_path": model.path, "total_slots": model.slots, "default_generation_settings": settings}
        return Answer(200, json.dumps(props))

    def read_log(self, service: str, lines: int) -> str:
        return self.log

    def follow_logs(self, services: tuple[str, ...], lines: int, write: Callable[[str, str], None]) -> None:
        for name in services:
            write(name, self.log)

    def read_start_log(self, state: ServiceState) -> str:
        return self.start_logs.get(state.name, "")

    def explain_lost_gpu(self, service: str) -> str:
        return self.lost_gpu

    def _count_start(self) -> str:
        self.starts += 1
        return f"start-{self.starts}"

    def _enter(self, method: str) -> None:
        self.calls.append(method)
        if method in self.failures:
            raise self.failures[method]

    @staticmethod
    def _mark(plan: StartPlan, service: Service) -> object:
        return service.digest, plan.secrets[service.name]


@dataclass
class FakeEngines:
    """A machine's engines: what each does when it is asked, by a part of its command.

    Attributes:
        failures: part of a command to what that engine does instead of answering, unless it is given the remedy.
        incurable: parts of commands that no remedy helps.
        toolkit: the GPU's compiler; build_failure: what building ends with; made: finished builds.
        known: records by command; every engine has answered before where ``is_known`` says so.
        asked: commands, in order.
    """

    failures: dict[str, str] = field(default_factory=dict)
    incurable: set[str] = field(default_factory=set)
    is_known: bool = True
    passing: set[str] = field(default_factory=set)
    toolkit: Toolkit = field(default=Toolkit())
    build_failure: StackError | None = None
    made: list[Build] = field(default_factory=list)
    known: dict[tuple[str, ...], EngineRecord] = field(default_factory=dict)
    kept: set[tuple[str, ...]] = field(default_factory=set)
    asked: list[str] = field(default_factory=list)

    def find_build(self, build: Build) -> Path:
        return Path("/cache/llama.cpp") / build.name

    def list_gpu_builds(self) -> tuple[Build, ...]:
        return tuple(build for build in self.made if build.kind)

    def has_device(self, kind: str) -> bool:
        return True

    def load_toolkit(self, kind: str) -> Toolkit:
        return self.toolkit

    def make(self, file: Path, build: Build, index_url: str, on_line: Report) -> None:
        on_line("compile 50%")
        if self.build_failure:
            raise self.build_failure
        self.made.append(build)

    def load_record(self, form: EngineForm, gpu: bool) -> EngineRecord | None:
        return self.known.get(form.command) or (EngineRecord(works=True) if self.is_known else None)

    def save_record(self, form: EngineForm, gpu: bool, record: EngineRecord, lasting: bool) -> None:
        self.known[form.command] = record
        self.kept |= {form.command} if lasting else set()

    def forget_record(self, form: EngineForm, gpu: bool) -> None:
        self.known.pop(form.command, None)

    def ask(self, command: Sequence[str], environment: Mapping[str, str]) -> TrialResult:
        text = " ".join(command)
        self.asked.append(text)
        found = next((part for part in self.failures if part in text), "")
        is_cured = environment.get("LLAMA_ARG_REPACK") == "0" and found not in self.incurable
        failure = "" if not found or is_cured else self.failures[found]
        return TrialResult(failure, is_lasting=found not in self.passing)


class World:
    """Everything around an operation; change its attributes to change the machine.

    Attributes:
        files: the site's files: path to text.
        service_environments: folder of the environments that services run in.
        identities: path to the size, time and inode of a file that is not the one there was at first.
        file_age_s: how long ago the files were put where they are.
        broken_models: model path to what is found there instead of a good model.
        answers: path of a gateway URL to the answer that replaces the usual one.
        on_sleep: called whenever an operation waits.
    """

    def __init__(self, env: str | None = None, stack: str = "", site: Path = SITE) -> None:
        self.site = site
        self.files: dict[Path, str] = {site / ".env": write_env() if env is None else env, site / "stack.yml": stack}
        self.modes: dict[Path, int] = {}
        self.links: set[Path] = set()
        self.identities: dict[Path, list[int]] = {}
        self.file_age_s = 3600.0
        self.broken_models: dict[Path, tuple[ModelFile, ...]] = {}
        self.host = Host(docker=DOCKER)
        self.memory_bytes = 16 << 30
        self.gpu_memory = GpuMemory()
        self.environment: dict[str, str] = {}
        self.python = "/opt/stackctl/bin/python"
        self.launcher = DATA_ROOT / "stackctl" / "programs" / "launch.py"
        self.service_environments = Path("/cache/envs")
        self.flags: dict[str, str] = {}
        self.programs: dict[str, str] = {}
        self.ancestors: dict[int, tuple[int, ...]] = {}
        self.answers: dict[str, Answer] = {}
        self.on_sleep: Callable[[], None] = lambda: None
        self.engines = FakeEngines()
        self.cpu_features: frozenset[str] | None = frozenset({"avx2", "fma", "f16c", "bmi2"})
        self.runtimes: dict[str, FakeRuntime] = {"compose": FakeRuntime("compose"), "process": FakeRuntime("process")}
        self.reports: list[str] = []
        self.questions: list[str] = []
        self.says_yes = False
        self.requests: list[str] = []
        self.now = 0.0

    @property
    def running(self) -> list[str]:
        """Names of all services that run, in either runtime."""
        return [name for runtime in self.runtimes.values() for name in runtime.states]

    @property
    def effects(self) -> Effects:
        """The world as operations see it."""
        return Effects(
            site=self.site,
            data_root=DATA_ROOT,
            cache_dir=Path("/cache"),
            environment=self.environment,
            flags=self.flags,
            python=self.python,
            launcher=self.launcher,
            report=self.reports.append,
            confirm=self._confirm,
            load_text=self._load_text,
            save_text=self._save_text,
            remove_file=self._remove_file,
            is_link=lambda path: path in self.links,
            hash_folder=lambda path: "0123456789ab",
            hold_lock=self._hold_lock,
            load_model_files=lambda path: self.broken_models.get(path) or build_model_files(path),
            find_program=self.programs.get,
            load_cpu_features=lambda: self.cpu_features,
            find_environment=lambda lock, variables: self.service_environments / f"{lock.parent.name}-{lock.stem}",
            engines=self.engines,
            load_host=lambda with_docker: self.host,
            load_memory_bytes=lambda: self.memory_bytes,
            load_file_facts=lambda path, head_bytes=0: FileFacts(
                str(path), self.modes.get(path), identity=self.identities.get(path, [1, 1, 1]), age_s=self.file_age_s
            ),
            load_gpu_memory=lambda: self.gpu_memory,
            list_ancestors=lambda pid: self.ancestors.get(pid, ()),
            load_resident_bytes=lambda pid: None,
            make_runtime=lambda name, loaded, gpu: self.runtimes[name],
            find_runtime=lambda state: self.runtimes[state.runtime],
            find_forgotten=lambda name: (self.runtimes[name],) if self.runtimes[name].states else (),
            hold_interrupts=nullcontext,
            is_same_file=lambda one, other: one == other,
            fetch=self._fetch,
            stream_chat=lambda url, key, body, timeout_s: iter([ChatPiece("po"), ChatPiece("ng"), ChatPiece("", 2)]),
            make_key=lambda: f"sk-made-for-tests-{len(self.reports)}",
            clock=lambda: self.now,
            sleep=self._sleep,
        )

    def _load_text(self, path: Path) -> str | None:
        if path.is_relative_to(DATA_ROOT):
            file = CHECKOUT / path.relative_to(DATA_ROOT)
            return file.read_text(encoding="utf-8") if file.is_file() else None
        if path.is_relative_to(CHECKOUT / "stackctl"):
            return path.read_text(encoding="utf-8")
        return self.files.get(path)

    def _save_text(self, path: Path, text: str, mode: int) -> bool:
        changed = self.files.get(path) != text
        self.files[path], self.modes[path] = text, mode
        return changed

    @contextmanager
    def _hold_lock(self, path: Path) -> Iterator[None]:
        yield

    def _remove_file(self, path: Path) -> None:
        self.files.pop(path, None)

    def _confirm(self, question: str) -> bool:
        self.questions.append(question)
        return self.says_yes

    def _sleep(self, seconds: float) -> None:
        self.now += seconds
        self.on_sleep()

    def _fetch(
        self, url: str, *, key: str = "", timeout_s: float = 5.0, body: Mapping[str, Any] | None = None
    ) -> Answer:
        answer = self._answer("/" + url.split("/", 3)[3], key, body)
        asks_stream = body is not None and body.get("stream")
        return (
            replace(answer, body=_stream(json.loads(answer.body))) if asks_stream and answer.status == 200 else answer
        )

    def _answer(self, path: str, key: str, body: Mapping[str, Any] | None) -> Answer:
        self.requests.append(path if body is None else f"{path} {body['model']}")
        runtime = next((item for item in self.runtimes.values() if GATEWAY in item.states), None)
        if runtime is None or runtime.plan is None:
            return Answer(0, error="refused")
        if path in self.answers:
            return self.answers[path]
        if path == "/health/readiness":
            return Answer(503 if GATEWAY in runtime.unready else 200)
        if key != runtime.plan.variables["GATEWAY_KEY"]:
            return Answer(401, '{"error": {"message": "no key"}}')
        return Answer(200, json.dumps(_answer(path, runtime.plan)))


def _answer(path: str, plan: StartPlan) -> dict[str, Any]:
    """What a healthy gateway in front of the demo model says."""
    if path == "/v1/models":
        return {"data": [{"id": item.served_name} for item in plan.stack.gateway.deployments]}
    if path == "/v1/embeddings":
        return {"data": [{"embedding": [0.5, -0.5]}]}
    known = json.loads((CHECKOUT / "models" / "demo.json").read_text(encoding="utf-8"))["answers"][0]["answer"]
    return {"choices": [{"message": {"content": known}}], "usage": {"completion_tokens": 1}}


def _stream(known: Mapping[str, Any]) -> str:
    """The same answer as server-sent events, a character each."""
    deltas = [{"choices": [{"delta": {"content": letter}}]} for letter in known["choices"][0]["message"]["content"]]
    return "".join(f"data: {text}\n\n" for text in (*map(json.dumps, deltas), "[DONE]"))


def raised_by(job: Callable[[], object]) -> StackError:
    """The error that a job ends with; fails when it ends well."""
    try:
        job()
    except StackError as error:
        return error
    raise AssertionError("expected an error, and the job ended well")
