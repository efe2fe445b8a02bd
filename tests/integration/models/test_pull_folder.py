"""The models folder: two pulls at once, files that are in the way, a folder that cannot be written."""

from __future__ import annotations

import threading

from tests.integration.hub_server import Hub
from tests.integration.models.pulling import DEADLINE_S, REFERENCE, PullSite, check_whole
from tests.waiting import wait_for


def test_two_pulls_of_one_file_at_once(site: PullSite, hub: Hub, model: bytes) -> None:
    reference, gate = hub.add(REFERENCE, model), threading.Event()
    hub.switches.wait = lambda: gate.wait(DEADLINE_S)
    first = site.start("pull", reference)
    wait_for(lambda: bool(hub.list_bodies()), "the file is asked for")
    second = site.run("pull", reference)
    assert second.code == 5
    assert f"process {first.pid}" in second.err
    gate.set()
    first.communicate(timeout=DEADLINE_S)
    assert first.returncode == 0
    check_whole(site, model)


def test_a_folder_that_cannot_be_written_is_told(site: PullSite, hub: Hub, model: bytes) -> None:
    (site.folder / "file").write_text("no folder")
    done = site.run("pull", hub.add(REFERENCE, model), MODELS_DIR=str(site.folder / "file" / "models"))
    assert done.code == 5
    assert "cannot be written" in done.err


def test_another_file_of_that_name_is_not_overwritten(site: PullSite, hub: Hub, model: bytes) -> None:
    (site.models / "tiny.gguf").write_bytes(b"GGUF of somebody else")
    done = site.run("pull", hub.add(REFERENCE, model))
    assert done.code == 3
    assert "was not touched" in done.err
    assert (site.models / "tiny.gguf").read_bytes() == b"GGUF of somebody else"
