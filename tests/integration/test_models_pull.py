"""``stackctl models`` as programs of their own against a hub on this machine that fails in every way it can."""

from __future__ import annotations

import hashlib
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from stackctl.core.settings import Settings
from stackctl.core.transfer import CHECKPOINT_BYTES
from tests.gguf_files import write_model, write_shards
from tests.integration.hub_server import Hub, run_hub

REPOSITORY = Path(__file__).parents[2]
DEADLINE_S = 120.0
TOKEN = "hf_planted_token_0123456789"
REFERENCE = "Acme/Tiny-GGUF/tiny.gguf"
MIB = 1 << 20


def write_random_model(path: Path, size_mib: int, seed: int = 1) -> bytes:
    """A model of about this size whose weights do not compress and do not repeat."""
    weights = np.random.default_rng(seed).integers(0, 255, (size_mib * 1024, 1024), np.uint8).view(np.int8)
    write_model(path, extra=lambda writer: writer.add_tensor("noise", weights))
    return path.read_bytes()


@pytest.fixture(scope="session")
def model(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """A model of 4 MiB."""
    return write_random_model(tmp_path_factory.mktemp("models") / "tiny.gguf", 4)


@pytest.fixture
def hub() -> Iterator[Hub]:
    with run_hub() as running:
        yield running


@dataclass(frozen=True)
class Done:
    code: int
    out: str
    err: str

    @property
    def text(self) -> str:
        return self.out + self.err


@dataclass
class Site:
    """A site that pulls from the test's hub."""

    folder: Path
    hub: Hub

    @property
    def models(self) -> Path:
        return self.folder / "models"

    def environment(self, **changes: str) -> dict[str, str]:
        names = {item.name.upper() for item in fields(Settings)} | {
            "HTTP_PROXY",
            "http_proxy",
            "ALL_PROXY",
            "all_proxy",
        }
        kept = {name: value for name, value in os.environ.items() if name not in names}
        return {**kept, "PYTHONPATH": str(REPOSITORY), "HF_ENDPOINT": self.hub.endpoint, **changes}

    def start(self, *arguments: str, **changes: str) -> subprocess.Popen[str]:
        argv = [sys.executable, "-m", "stackctl", "--site", str(self.folder), "models", *arguments]
        return subprocess.Popen(
            argv, env=self.environment(**changes), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )

    def run(self, *arguments: str, **changes: str) -> Done:
        process = self.start(*arguments, **changes)
        out, err = process.communicate(timeout=DEADLINE_S)
        assert "Traceback" not in err
        return Done(process.returncode, out, err)

    def list_visible(self) -> set[str]:
        """What a person sees in the folder."""
        return {path.name for path in self.models.iterdir() if not path.name.startswith(".")} - {"README.txt"}

    def load_record(self, name: str = "tiny.gguf") -> Any:
        try:
            return json.loads((self.models / ".partial" / f"{name}.json").read_text())
        except FileNotFoundError:
            return None


@pytest.fixture
def site(tmp_path: Path, hub: Hub) -> Site:
    (tmp_path / "site" / "models").mkdir(parents=True)
    return Site(tmp_path / "site", hub)


def wait_for(condition: Callable[[], bool]) -> None:
    """Wait until it holds."""
    deadline = time.monotonic() + DEADLINE_S
    while not condition():
        assert time.monotonic() < deadline, "never happened"
        time.sleep(0.02)


def check_whole(site: Site, data: bytes, name: str = "tiny.gguf") -> None:
    """The model is there, with its record, and nothing unfinished is."""
    assert (site.models / name).read_bytes() == data
    line = (site.models / f"{name}.sha256").read_text().splitlines()[-1]
    assert line == f"{hashlib.sha256(data).hexdigest()}  {name}"
    assert not list((site.models / ".partial").glob("*.partial"))
    assert not list((site.models / ".partial").glob("*.json"))


# The usual way


def test_a_pulled_model_is_whole_recorded_and_not_pulled_again(site: Site, hub: Hub, model: bytes) -> None:
    reference = hub.add(REFERENCE, model)
    done = site.run("pull", reference)
    assert done.code == 0, done.err
    check_whole(site, model)
    assert "CHAT_MODEL=tiny.gguf" in done.out
    assert "tiny.gguf: " in done.err
    before = len(hub.list_bodies())
    again = site.run("pull", f"{reference}@main")
    assert (again.code, len(hub.list_bodies())) == (0, before)
    assert "was here" in again.out
    assert site.run("verify").code == 0


@pytest.mark.parametrize("pin", ["", "right", "wrong"])
def test_a_plain_address_and_its_pinned_digest(site: Site, hub: Hub, model: bytes, pin: str) -> None:
    hub.add("plain/tiny.gguf", model)
    digest = {"": "", "right": hashlib.sha256(model).hexdigest(), "wrong": "0" * 64}[pin]
    done = site.run("pull", f"{hub.content}/plain/tiny.gguf" + (f"#sha256={digest}" if pin else ""))
    if pin == "wrong":
        assert done.code == 3
        assert "wrong content" in done.err
        assert site.list_visible() == set()
        assert site.load_record() is None
    else:
        assert done.code == 0, done.err
        check_whole(site, model)
        assert ("none to compare with" in done.out) is (pin == "")


def test_all_shards_come_and_appear_together(site: Site, hub: Hub, tmp_path: Path) -> None:
    paths = write_shards(tmp_path, 3, "big")
    for path in paths:
        hub.add(f"Acme/Big-GGUF/Q4/{path.name}", path.read_bytes())
    done = site.run("pull", "hf:Acme/Big-GGUF/Q4/big-00002-of-00003.gguf", "--json")
    assert done.code == 0, done.err
    assert json.loads(done.out)["setting"] == "CHAT_MODEL=big-00001-of-00003.gguf"
    assert {path.name for path in paths} <= site.list_visible()


def test_one_missing_shard_leaves_none(site: Site, hub: Hub, tmp_path: Path) -> None:
    for path in write_shards(tmp_path, 3, "big")[:2]:
        hub.add(f"Acme/Big-GGUF/{path.name}", path.read_bytes())
    done = site.run("pull", "hf:Acme/Big-GGUF/big-00001-of-00003.gguf")
    assert done.code == 3
    assert "big-00003-of-00003.gguf" in done.err
    assert site.list_visible() == set()


def test_a_server_without_head_or_length_is_enough(site: Site, hub: Hub, model: bytes) -> None:
    hub.add("plain/tiny.gguf", model)
    hub.switches.has_head = False
    assert site.run("pull", f"{hub.content}/plain/tiny.gguf").code == 0
    check_whole(site, model)


def test_redirects_inside_the_hub_are_followed(site: Site, hub: Hub, model: bytes) -> None:
    hub.switches.redirects = 3
    assert site.run("pull", hub.add(REFERENCE, model)).code == 0
    check_whole(site, model)


def test_a_slow_drip_arrives(site: Site, hub: Hub, model: bytes) -> None:
    hub.switches.piece = 997
    assert site.run("pull", hub.add(REFERENCE, model)).code == 0
    check_whole(site, model)


def test_the_record_says_which_commit_a_branch_was(site: Site, hub: Hub, model: bytes) -> None:
    assert site.run("pull", hub.add(REFERENCE, model)).code == 0
    record = (site.models / "tiny.gguf.sha256").read_text()
    assert record.startswith(f"# source: hf:{REFERENCE}@{'0' * 40}\n")


# Interruptions


def test_cut_connections_go_on_at_the_byte_reached(site: Site, hub: Hub, model: bytes) -> None:
    hub.switches.cut_after, hub.switches.cuts = 3 * MIB // 2, 2
    done = site.run("pull", hub.add(REFERENCE, model))
    assert done.code == 0, done.err
    check_whole(site, model)
    assert sum(item.sent for item in hub.list_bodies()) < len(model) + MIB
    assert [item.headers.get("range", "") for item in hub.list_bodies()] == ["", "bytes=1572864-", "bytes=3145728-"]


def test_a_killed_pull_goes_on_in_the_next_run(site: Site, hub: Hub, tmp_path: Path) -> None:
    data = write_random_model(tmp_path / "tiny.gguf", 48)
    reference, gate = hub.add(REFERENCE, data), threading.Event()
    hub.switches.wait = lambda: None if hub.list_bodies()[-1].sent < 40 * MIB else gate.wait(DEADLINE_S)
    process = site.start("pull", reference)
    wait_for(lambda: bool(site.load_record() and site.load_record()["durable_bytes"] >= 2 * CHECKPOINT_BYTES))
    os.kill(process.pid, signal.SIGKILL)
    process.communicate()
    assert site.list_visible() == set()
    gate.set()
    sent_before = hub.list_bodies()[-1].sent
    done = site.run("pull", reference)
    assert done.code == 0, done.err
    check_whole(site, data)
    second = hub.list_bodies()[-1]
    start = int(second.headers["range"].removeprefix("bytes=").rstrip("-"))
    assert start >= 2 * CHECKPOINT_BYTES > 0
    assert sent_before - start <= 64 * MIB
    assert second.sent == len(data) - start


def test_an_interrupted_pull_keeps_every_byte(site: Site, hub: Hub, model: bytes) -> None:
    reference, gate = hub.add(REFERENCE, model), threading.Event()
    hub.switches.wait = lambda: None if hub.list_bodies()[-1].sent < 2 * MIB else gate.wait(DEADLINE_S)
    process = site.start("pull", reference)
    partial = site.models / ".partial" / "tiny.gguf.partial"
    wait_for(lambda: partial.is_file() and partial.stat().st_size >= MIB)
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=DEADLINE_S)
    assert process.returncode == 130
    gate.set()
    kept = partial.stat().st_size
    assert site.load_record()["durable_bytes"] == kept >= MIB
    assert site.run("pull", reference).code == 0
    check_whole(site, model)
    assert hub.list_bodies()[-1].headers["range"] == f"bytes={kept}-"


def interrupt(site: Site, hub: Hub, reference: str) -> None:
    """Leave an unfinished download of 2 MiB behind."""
    hub.switches.cut_after, hub.switches.cuts = 2 * MIB, 1
    process = site.start("pull", reference)
    hub.switches.statuses = []
    wait_for(lambda: bool(site.load_record() and site.load_record()["durable_bytes"]))
    process.kill()
    process.communicate()
    hub.requests.clear()


@pytest.mark.parametrize("kind", ["hub", "plain", "plain without If-Range"])
def test_another_version_starts_over(site: Site, hub: Hub, model: bytes, tmp_path: Path, kind: str) -> None:
    other = write_random_model(tmp_path / "other.gguf", 4, seed=2)
    hub.add(REFERENCE, model)
    reference = f"hf:{REFERENCE}" if kind == "hub" else f"{hub.content}/{REFERENCE}"
    interrupt(site, hub, reference)
    hub.add(REFERENCE, other)
    hub.switches.has_if_range = kind == "plain"
    done = site.run("pull", reference)
    assert done.code == 0, done.err
    check_whole(site, other)
    if kind == "plain":
        assert hub.list_bodies()[0].headers["if-range"]
        assert len(hub.list_bodies()) == 1


def test_ranges_off_starts_over(site: Site, hub: Hub, model: bytes) -> None:
    reference = hub.add(REFERENCE, model)
    interrupt(site, hub, reference)
    hub.switches.has_ranges = False
    done = site.run("pull", reference)
    assert done.code == 0, done.err
    check_whole(site, model)
    assert "from its start" in done.err


def test_a_range_that_was_not_asked_for_is_not_taken(site: Site, hub: Hub, model: bytes) -> None:
    reference = hub.add(REFERENCE, model)
    interrupt(site, hub, reference)
    hub.switches.wrong_ranges = True
    assert site.run("pull", reference).code == 0
    check_whole(site, model)


def test_416_starts_over(site: Site, hub: Hub, model: bytes) -> None:
    reference = hub.add(REFERENCE, model)
    interrupt(site, hub, reference)
    hub.switches.statuses = [416]
    assert site.run("pull", reference).code == 0
    check_whole(site, model)


def test_a_damaged_record_starts_over(site: Site, hub: Hub, model: bytes) -> None:
    reference = hub.add(REFERENCE, model)
    interrupt(site, hub, reference)
    (site.models / ".partial" / "tiny.gguf.json").write_text('{"version": 1, "origin": 7}')
    assert site.run("pull", reference).code == 0
    check_whole(site, model)


@pytest.mark.parametrize("status", [429, 503])
def test_a_busy_server_is_asked_again(site: Site, hub: Hub, model: bytes, status: int) -> None:
    hub.switches.statuses, hub.switches.headers = [status, status], {"Retry-After": "1"}
    done = site.run("pull", hub.add(REFERENCE, model))
    assert done.code == 0, done.err
    check_whole(site, model)
    assert f"answers {status}" in done.err


def test_two_pulls_of_one_file_at_once(site: Site, hub: Hub, model: bytes) -> None:
    reference, gate = hub.add(REFERENCE, model), threading.Event()
    hub.switches.wait = lambda: gate.wait(DEADLINE_S)
    first = site.start("pull", reference)
    wait_for(lambda: bool(hub.list_bodies()))
    second = site.run("pull", reference)
    assert second.code == 5
    assert f"process {first.pid}" in second.err
    gate.set()
    first.communicate(timeout=DEADLINE_S)
    assert first.returncode == 0
    check_whole(site, model)


# What a server may do wrong


def test_wrong_bytes_are_removed(site: Site, hub: Hub, model: bytes) -> None:
    done = site.run("pull", hub.add(REFERENCE, model, announced="1" * 64))
    assert done.code == 3
    assert "wrong content" in done.err
    assert "1" * 64 in done.err
    assert site.list_visible() == set()
    assert not (site.models / ".partial" / "tiny.gguf.partial").exists()


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"<!DOCTYPE html><title>Log in</title>" * 100, "web page"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n", "Git LFS pointer"),
        ("cut", "truncated"),
    ],
)
def test_what_is_no_model_never_gets_its_name(
    site: Site, hub: Hub, model: bytes, content: bytes | str, words: str
) -> None:
    data = model[:-1000] if isinstance(content, str) else content
    done = site.run("pull", hub.add(REFERENCE, data))
    assert done.code == 3
    assert words in done.err
    assert site.list_visible() == set()
    assert not list((site.models / ".partial").glob("*.partial"))


@pytest.mark.parametrize(
    ("status", "headers", "code", "words"),
    [
        (401, {"X-Error-Code": "GatedRepo"}, 3, ["gated", "HF_TOKEN"]),
        (401, {}, 3, ["refuses", "HF_TOKEN"]),
        (403, {}, 3, ["refuses", "HF_TOKEN"]),
        (404, {"X-Error-Code": "RevisionNotFound"}, 3, ["no such revision"]),
        (404, {"X-Error-Code": "RepoNotFound"}, 3, ["no such repository"]),
        (418, {}, 5, ["418"]),
    ],
)
def test_a_refusal_says_what_to_do(
    site: Site, hub: Hub, model: bytes, status: int, headers: dict[str, str], code: int, words: list[str]
) -> None:
    hub.switches.hub_status, hub.switches.headers = status, headers
    done = site.run("pull", hub.add(REFERENCE, model))
    assert done.code == code
    for word in words:
        assert word in done.err
    assert "next:" in done.err


def test_redirects_without_end(site: Site, hub: Hub, model: bytes) -> None:
    hub.switches.redirects = -1
    done = site.run("pull", hub.add(REFERENCE, model))
    assert done.code == 5
    assert "redirects" in done.err
    assert len(hub.requests) < 20


@pytest.mark.parametrize("difference", [-1000, 1000])
def test_a_wrong_content_length_is_refused(site: Site, hub: Hub, model: bytes, difference: int) -> None:
    hub.switches.length = len(model) + difference
    done = site.run("pull", hub.add(REFERENCE, model))
    assert done.code == 5
    assert f"{len(model) + difference} bytes, expected {len(model)}" in done.err
    assert site.list_visible() == set()


def test_a_folder_that_cannot_be_written_is_told(site: Site, hub: Hub, model: bytes) -> None:
    (site.folder / "file").write_text("no folder")
    done = site.run("pull", hub.add(REFERENCE, model), MODELS_DIR=str(site.folder / "file" / "models"))
    assert done.code == 5
    assert "cannot be written" in done.err


def test_another_file_of_that_name_is_not_overwritten(site: Site, hub: Hub, model: bytes) -> None:
    (site.models / "tiny.gguf").write_bytes(b"GGUF of somebody else")
    done = site.run("pull", hub.add(REFERENCE, model))
    assert done.code == 3
    assert "was not touched" in done.err
    assert (site.models / "tiny.gguf").read_bytes() == b"GGUF of somebody else"


# No network


def test_offline_is_refused_in_words(site: Site, hub: Hub, model: bytes) -> None:
    done = site.run("pull", hub.add(REFERENCE, model), HF_HUB_OFFLINE="1")
    assert done.code == 5
    for word in ("HF_HUB_OFFLINE", "models add", "offline bundle", f"{hub.endpoint}/Acme"):
        assert word in done.err
    assert hub.requests == []


def test_an_unreachable_hub_is_refused_in_words(site: Site) -> None:
    done = site.run("pull", "qwen2.5-coder-7b", HF_ENDPOINT="http://127.0.0.1:9")
    assert done.code == 5
    for word in ("cannot reach 127.0.0.1", "models add qwen2.5-coder-7b-instruct-q4_k_m.gguf", "HF_ENDPOINT"):
        assert word in done.err


# The token


def test_the_token_goes_to_the_hub_alone_and_is_never_shown(site: Site, hub: Hub, model: bytes) -> None:
    (site.folder / ".env").write_text(f"HF_TOKEN={TOKEN}\n")
    hub.switches.redirects = 1
    done = site.run("pull", hub.add(REFERENCE, model))
    assert done.code == 0, done.err
    sent = {
        item.server: {r.headers.get("authorization") for r in hub.requests if r.server == item.server}
        for item in hub.requests
    }
    assert sent == {"hub": {f"Bearer {TOKEN}"}, "content": {None}}
    kept = "".join(
        path.read_text(errors="replace") for path in site.models.rglob("*") if path.suffix != ".gguf" and path.is_file()
    )
    assert TOKEN not in done.text + kept


@pytest.mark.parametrize("fault", ["401", "away", "bad", "plain"])
def test_no_failure_shows_or_leaks_the_token(site: Site, hub: Hub, model: bytes, fault: str) -> None:
    token, reference = TOKEN, hub.add(REFERENCE, model)
    if fault == "401":
        hub.switches.hub_status = 401
    if fault == "bad":
        token = f"{TOKEN} second"
    if fault == "plain":
        reference = f"{hub.content}/{REFERENCE}"
    with run_hub() as other:
        if fault == "away":
            hub.switches.away = other.endpoint  # a second hub, which knows nothing of the file
        done = site.run("pull", reference, HF_TOKEN=token)
        seen = {item.headers.get("authorization") for item in (*other.requests, *hub.list_bodies())}
    assert seen <= {None}
    assert TOKEN not in done.text


# A mirror


def test_a_mirror_goes_on_with_what_the_hub_began(site: Site, hub: Hub, model: bytes) -> None:
    reference = hub.add(REFERENCE, model)
    interrupt(site, hub, reference)
    with run_hub() as mirror:
        mirror.add(REFERENCE, model)
        (site.folder / ".env").write_text(f"HF_ENDPOINT={mirror.endpoint}/\n")
        environment = {**site.environment()}
        del environment["HF_ENDPOINT"]
        argv = [sys.executable, "-m", "stackctl", "--site", str(site.folder), "models", "pull", reference]
        done = subprocess.run(argv, env=environment, capture_output=True, text=True, check=False, timeout=DEADLINE_S)
        assert done.returncode == 0, done.stderr
        assert mirror.list_bodies()[0].headers["range"] == f"bytes={2 * MIB}-"
    check_whole(site, model)
