"""Proving a stack: what runs, in which order it ends, what is judged, and what is left when something goes wrong."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from stackctl.core.bundle.format.signature import parse_public_key, sign, verify
from stackctl.core.stack.runtime import StartPlan
from stackctl.errors import BundleError, ConfigError, Finding, RuntimeFailure
from stackctl.operations.bundle.prove.prove import ProveRequest, run_prove
from stackctl.operations.bundle.prove.site_key import load_signing_key
from stackctl.operations.run.up import run_up
from stackctl.operations.site.load import load_site
from stackctl.operations.site.render import render_site
from stackctl.operations.site.state import load_state
from tests.fakes import SITE, World, override, raised_by, write_env
from tests.operations.site.test_released_site import FILES, MODELS, install
from tests.rehearsal_world import LOOKUP, PROVE, READY, SERVICES, RehearsalWorld, write_watch


@pytest.fixture
def world() -> World:
    return World()


@pytest.fixture
def rehearsals(world: World) -> RehearsalWorld:
    return RehearsalWorld(world)


@pytest.fixture
def processes(world: World) -> World:
    world.files[SITE / ".env"] = write_env(STACK_RUNTIME="process")
    return world


def test_a_quiet_healthy_stack_of_containers_passes(rehearsals: RehearsalWorld) -> None:
    saved = rehearsals.prove()
    assert saved.receipt.proof.list_reasons() == ()
    assert saved.receipt.verdict == "passed"
    assert rehearsals.projects == [("ai-stack-prove", PROVE)]
    assert set(saved.receipt.images) == {
        "stackctl.invalid/api-gateway:f78d8933aca7",
        "ghcr.io/ggml-org/llama.cpp:server-b11347",
    }
    assert rehearsals.rehearsal.calls == ["prepare", "start", "stop"]


def test_nobody_outside_meets_a_rehearsal(rehearsals: RehearsalWorld, world: World) -> None:
    world.files[SITE / ".env"] = write_env(BIND_ADDRESS="192.168.7.5", STACK_RUNTIME="compose")
    rehearsals.prove()
    assert rehearsals.rehearsal.plan is not None
    assert '"127.0.0.1:8000:8000"' in rehearsals.rehearsal.plan.rendered.files["compose.p1.yml"]
    assert "192.168.7.5" in render_site(world.effects, load_site(world.effects)).files["compose.p1.yml"]


def test_the_services_end_before_those_who_watch_them(rehearsals: RehearsalWorld) -> None:
    rehearsals.prove()
    watches = tuple(f"watch-{name}" for name in SERVICES)
    assert rehearsals.stopped == [("ai-stack-prove", SERVICES), ("ai-stack-prove", watches)]


def test_the_stack_of_the_site_itself_is_left_alone(rehearsals: RehearsalWorld, world: World) -> None:
    rehearsals.prove()
    assert world.runtimes["compose"].calls == []
    assert load_state(world.effects.files, world.effects.paths) is None
    assert world.running == []


def test_what_a_service_tried_fails_the_proof_by_name(rehearsals: RehearsalWorld) -> None:
    rehearsals.rehearsal.log = write_watch(LOOKUP)
    saved = rehearsals.prove()
    assert saved.receipt.verdict == "failed"
    assert {a.service for a in saved.receipt.proof.attempts} == set(SERVICES)
    assert {a.target for a in saved.receipt.proof.attempts} == {"models.example.com"}


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda t: setattr(t.engine, "pulled", ("alpine:3",)), "alpine:3 was pulled"),
        (lambda t: setattr(t.engine, "gap", "the stream broke off"), "not complete: the stream broke off"),
        (lambda t: setattr(t.rehearsal, "log", json.dumps(READY)), "the watch over api-gateway: it broke off"),
        (lambda t: t.rehearsal.unready.add("inference-chat"), "Not ready within"),
    ],
)
def test_a_doubt_fails_the_proof(
    rehearsals: RehearsalWorld, change: Callable[[RehearsalWorld], None], reason: str
) -> None:
    change(rehearsals)
    saved = rehearsals.prove()
    assert saved.receipt.verdict == "failed"
    assert any(reason in item for item in saved.receipt.proof.list_reasons())
    assert rehearsals.world.running == []


def test_what_is_missing_is_named_and_nothing_is_started(rehearsals: RehearsalWorld, world: World) -> None:
    def list_commands(plan: StartPlan) -> tuple[str, ...]:
        return ("docker pull engine:1", "docker compose up")

    world.runtimes["compose"].list_commands = list_commands  # type: ignore[method-assign]
    error = raised_by(rehearsals.prove)
    assert (error.exit_code, "docker pull engine:1" in error.message) == (5, True)
    assert "docker compose up" not in error.message
    assert rehearsals.rehearsal.calls == []


@pytest.mark.parametrize("runtime", ["compose", "process"])
def test_beside_the_running_stack_it_refuses(rehearsals: RehearsalWorld, world: World, runtime: str) -> None:
    world.files[SITE / ".env"] = write_env(STACK_RUNTIME=runtime)
    run_up(world.effects)
    before = world.running
    error = raised_by(rehearsals.prove)
    assert (error.exit_code, error.hint) == (5, "run 'stackctl down'")
    assert world.running == before


@pytest.mark.parametrize("method", ["prepare", "start"])
@pytest.mark.parametrize("runtime", ["compose", "process"])
def test_a_start_that_fails_is_an_error_and_leaves_nothing(
    rehearsals: RehearsalWorld, world: World, runtime: str, method: str
) -> None:
    world.files[SITE / ".env"] = write_env(STACK_RUNTIME=runtime)
    failing = rehearsals.rehearsal if runtime == "compose" else world.runtimes["process"]
    failing.failures[method] = RuntimeFailure("a command failed")
    assert raised_by(rehearsals.prove).message == "a command failed"
    assert world.running == []
    assert load_state(world.effects.files, world.effects.paths) is None
    assert PROVE / "compose.p1.yml" not in world.files


def test_if_it_is_killed_its_containers_are_removed(rehearsals: RehearsalWorld) -> None:
    rehearsals.prove()
    assert rehearsals.guarded == [("ai-stack-prove", SITE / ".stack" / "lock")]


@pytest.mark.parametrize("lock", [SITE / "offline" / "lock", SITE / ".stack" / "lock"])
def test_while_another_command_changes_the_site_it_refuses_and_removes_nothing(
    rehearsals: RehearsalWorld, world: World, lock: Path
) -> None:
    @contextmanager
    def hold_lock(path: Path) -> Iterator[None]:
        if path == lock:
            raise RuntimeFailure("Another command is changing this stack.")
        yield

    world.files[PROVE / "compose.p1.yml"] = "{}"
    effects = replace(world.effects, files=override(world.effects.files, hold_lock=hold_lock))
    error = raised_by(lambda: run_prove(effects, rehearsals.effects, ProveRequest(sign=lambda data: "")))
    assert error.message == "Another command is changing this stack."
    assert rehearsals.rehearsal.calls == []


def test_a_release_that_is_not_what_was_loaded_fails_the_proof(
    rehearsals: RehearsalWorld, world: World, tmp_path: Path
) -> None:
    manifest = install(world, tmp_path, runtimes=("process",))
    saved = rehearsals.prove()
    assert saved.receipt.verdict == "failed"
    assert len(saved.receipt.proof.altered) == len(FILES) + len(MODELS)
    model = f"{manifest.models[0].digest[:16]}/demo.gguf: its bytes 0 to 4 are not those of the bundle"
    assert any(model in reason for reason in saved.receipt.proof.list_reasons())


def test_an_image_that_is_not_the_releases_fails_the_proof(
    rehearsals: RehearsalWorld, world: World, tmp_path: Path
) -> None:
    install(world, tmp_path)
    rehearsals.image_findings = [Finding("packed.invalid/api-gateway:1", "its id is another one")]
    assert "packed.invalid/api-gateway:1: its id is another one" in rehearsals.prove().receipt.proof.list_reasons()


def test_a_receipt_that_cannot_be_written_is_an_error_that_tells_the_verdict(
    rehearsals: RehearsalWorld, world: World
) -> None:
    def fail(path: Path, text: str, mode: int) -> bool:
        if path.suffix == ".minisig":
            raise PermissionError(13, "Permission denied", str(path))
        return True

    effects = replace(world.effects, files=override(world.effects.files, save_text=fail))
    error = raised_by(lambda: run_prove(effects, rehearsals.effects, ProveRequest(sign=lambda data: "")))
    assert (error.exit_code, "The proof passed, but" in error.message) == (5, True)


def test_what_a_killed_rehearsal_left_is_removed_first(rehearsals: RehearsalWorld, world: World) -> None:
    world.files[PROVE / "compose.p1.yml"] = "{}"
    rehearsals.prove()
    assert rehearsals.rehearsal.calls == ["stop", "prepare", "start", "stop"]
    assert PROVE / "compose.p1.yml" not in world.files


def test_a_stack_of_processes_passes_and_is_started_from_the_files_that_up_starts_from(
    rehearsals: RehearsalWorld, processes: World
) -> None:
    saved = rehearsals.prove()
    assert saved.receipt.verdict == "passed"
    assert saved.receipt.proof.health.runtime == "process"
    assert processes.runtimes["process"].calls == ["prepare", "start", "stop"]
    rendered = {name: text for name, text in processes.files.items() if name.parent == SITE / ".stack" / "rendered"}
    run_up(processes.effects)
    assert {name: processes.files[name] for name in rendered} == rendered
    assert rendered


def test_what_a_process_tried_fails_the_proof(rehearsals: RehearsalWorld, processes: World) -> None:
    rehearsals.watch = write_watch(LOOKUP)
    (attempt,) = rehearsals.prove().receipt.proof.attempts
    assert (attempt.service, attempt.target) == ("the stack", "models.example.com")


def test_the_receipt_its_signature_and_its_page_lie_side_by_side(rehearsals: RehearsalWorld, world: World) -> None:
    saved = rehearsals.prove()
    folder = SITE / "offline" / "receipts"
    assert saved.path == folder / "20260102T000100Z-site.json"
    assert [path.name.removeprefix(saved.path.stem) for path in (saved.signature, saved.page)] == [
        ".json.minisig",
        ".txt",
    ]
    text = world.files[saved.path]
    assert world.files[saved.signature] == f"signature of {len(text.encode())} bytes"
    assert json.loads(text)["bundle"] is None
    assert world.files[saved.page].startswith("PROOF OF OFFLINE OPERATION: PASSED")
    assert not [name for name in (saved.path, saved.page) if "planted" in world.files[name]]


def test_a_receipt_goes_where_it_is_wanted(rehearsals: RehearsalWorld, world: World) -> None:
    saved = rehearsals.prove(out=Path("/elsewhere/proof.json"))
    assert {saved.path, saved.signature, saved.page} <= world.files.keys()
    assert saved.signature == Path("/elsewhere/proof.json.minisig")
    assert rehearsals.prove(out=Path("/elsewhere/proof.txt")).page == Path("/elsewhere/proof.txt.txt")


def test_the_sites_key_is_made_once_and_checks_what_it_signs(world: World) -> None:
    key = load_signing_key(world.effects, None, lambda count: bytes(range(count)))
    again = load_signing_key(world.effects, None, lambda count: bytes(count))
    assert again == key
    assert world.modes[SITE / "offline" / "site.key"] == 0o600
    public = parse_public_key(world.files[SITE / "offline" / "site.pub"])
    assert verify(public, b"receipt", sign(key, b"receipt", "comment")) == "comment"


def test_a_named_key_that_is_not_there_or_is_none_is_an_error(world: World) -> None:
    missing = raised_by(lambda: load_signing_key(world.effects, SITE / "no.key", lambda count: bytes(count)))
    assert isinstance(missing, ConfigError)
    world.files[SITE / "bad.key"] = "not a key"
    bad = raised_by(lambda: load_signing_key(world.effects, SITE / "bad.key", lambda count: bytes(count)))
    assert isinstance(bad, BundleError)
