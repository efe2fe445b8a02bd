"""Pulls that were cut, killed or interrupted go on where they stopped, unless the file is another one by then."""

from __future__ import annotations

import os
import signal
import threading
from pathlib import Path

import pytest

from stackctl.core.download.transfer import CHECKPOINT_BYTES
from tests.integration.hub_server import PIECE, Hub
from tests.integration.models.pulling import (
    DEADLINE_S,
    MIB,
    REFERENCE,
    PullSite,
    check_whole,
    interrupt,
    write_random_model,
)
from tests.waiting import wait_for


def test_cut_connections_go_on_at_the_byte_reached(site: PullSite, hub: Hub, model: bytes) -> None:
    hub.switches.cut_after, hub.switches.cuts = 3 * MIB // 2, 2
    done = site.run("pull", hub.add(REFERENCE, model))
    assert done.code == 0, done.err
    check_whole(site, model)
    assert sum(item.sent for item in hub.list_bodies()) < len(model) + MIB
    assert [item.headers.get("range", "") for item in hub.list_bodies()] == ["", "bytes=1572864-", "bytes=3145728-"]


def test_a_killed_pull_goes_on_in_the_next_run(site: PullSite, hub: Hub, tmp_path: Path) -> None:
    data = write_random_model(tmp_path / "tiny.gguf", 48)
    reference, gate = hub.add(REFERENCE, data), threading.Event()
    hub.switches.wait = lambda: None if hub.list_bodies()[-1].sent < 40 * MIB else gate.wait(DEADLINE_S)
    process = site.start("pull", reference)
    wait_for(
        lambda: bool(site.load_record() and site.load_record()["durable_bytes"] >= 2 * CHECKPOINT_BYTES),
        "two checkpoints are noted",
    )
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


def test_an_interrupted_pull_keeps_every_byte(site: PullSite, hub: Hub, model: bytes) -> None:
    reference, gate = hub.add(REFERENCE, model), threading.Event()
    hub.switches.wait = lambda: None if hub.list_bodies()[-1].sent < 2 * MIB else gate.wait(DEADLINE_S)
    process = site.start("pull", reference)
    partial = site.models / ".partial" / "tiny.gguf.partial"
    wait_for(lambda: partial.is_file() and partial.stat().st_size == 2 * MIB, "2 MiB are here")
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=DEADLINE_S)
    assert process.returncode == 130
    gate.set()
    kept = site.load_record()["durable_bytes"]
    assert kept >= 2 * MIB - PIECE  # the interrupt may come between a write and its count
    assert site.run("pull", reference).code == 0
    check_whole(site, model)
    assert hub.list_bodies()[-1].headers["range"] == f"bytes={kept}-"


@pytest.mark.parametrize("kind", ["hub", "plain", "plain without If-Range"])
def test_another_version_starts_over(site: PullSite, hub: Hub, model: bytes, tmp_path: Path, kind: str) -> None:
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


def test_ranges_off_starts_over(site: PullSite, hub: Hub, model: bytes) -> None:
    reference = hub.add(REFERENCE, model)
    interrupt(site, hub, reference)
    hub.switches.has_ranges = False
    done = site.run("pull", reference)
    assert done.code == 0, done.err
    check_whole(site, model)
    assert "from its start" in done.err


def test_a_range_that_was_not_asked_for_is_not_taken(site: PullSite, hub: Hub, model: bytes) -> None:
    reference = hub.add(REFERENCE, model)
    interrupt(site, hub, reference)
    hub.switches.wrong_ranges = True
    assert site.run("pull", reference).code == 0
    check_whole(site, model)


def test_416_starts_over(site: PullSite, hub: Hub, model: bytes) -> None:
    reference = hub.add(REFERENCE, model)
    interrupt(site, hub, reference)
    hub.switches.statuses = [416]
    assert site.run("pull", reference).code == 0
    check_whole(site, model)


def test_a_damaged_record_starts_over(site: PullSite, hub: Hub, model: bytes) -> None:
    reference = hub.add(REFERENCE, model)
    interrupt(site, hub, reference)
    (site.models / ".partial" / "tiny.gguf.json").write_text('{"version": 1, "origin": 7}')
    assert site.run("pull", reference).code == 0
    check_whole(site, model)
