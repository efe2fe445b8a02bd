"""What a hub or a server may do wrong: wrong bytes, refusals, busy answers, endless redirects."""

from __future__ import annotations

import pytest

from tests.integration.hub_server import Hub
from tests.integration.models.pulling import REFERENCE, PullSite, check_whole


@pytest.mark.parametrize("status", [429, 503])
def test_a_busy_server_is_asked_again(site: PullSite, hub: Hub, model: bytes, status: int) -> None:
    hub.switches.statuses, hub.switches.headers = [status, status], {"Retry-After": "1"}
    done = site.run("pull", hub.add(REFERENCE, model))
    assert done.code == 0, done.err
    check_whole(site, model)
    assert f"answers {status}" in done.err


def test_wrong_bytes_are_removed(site: PullSite, hub: Hub, model: bytes) -> None:
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
    site: PullSite, hub: Hub, model: bytes, content: bytes | str, words: str
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
    site: PullSite, hub: Hub, model: bytes, status: int, headers: dict[str, str], code: int, words: list[str]
) -> None:
    hub.switches.hub_status, hub.switches.headers = status, headers
    done = site.run("pull", hub.add(REFERENCE, model))
    assert done.code == code
    for word in words:
        assert word in done.err
    assert "next:" in done.err


@pytest.mark.parametrize("token", ["", "hf_token"])
@pytest.mark.parametrize("is_hub", [True, False])
def test_a_server_behind_the_hub_or_any_other_may_refuse(
    site: PullSite, hub: Hub, model: bytes, is_hub: bool, token: str
) -> None:
    reference = hub.add(REFERENCE, model)
    hub.switches.statuses = [403] * 9
    done = site.run("pull", reference if is_hub else f"{hub.content}/{REFERENCE}", HF_TOKEN=token)
    assert done.code == (5 if is_hub else 3)
    assert "403" in done.err
    assert "HF_TOKEN" not in done.err
    assert "gated" not in done.err


@pytest.mark.parametrize("is_hub", [True, False])
def test_an_empty_file_is_no_model(site: PullSite, hub: Hub, is_hub: bool) -> None:
    reference = hub.add(REFERENCE, b"")
    done = site.run("pull", reference if is_hub else f"{hub.content}/{REFERENCE}")
    assert done.code == 3
    assert "is empty" in done.err
    assert site.list_visible() == set()


def test_a_compressed_answer_is_refused(site: PullSite, hub: Hub, model: bytes) -> None:
    hub.switches.added = {"Content-Encoding": "gzip"}
    done = site.run("pull", hub.add(REFERENCE, model))
    assert done.code == 5
    assert "comes compressed" in done.err


def test_an_announced_size_that_is_no_number_is_left_aside(site: PullSite, hub: Hub, model: bytes) -> None:
    hub.switches.linked_size = "9" * 5000
    done = site.run("pull", hub.add(REFERENCE, model))
    assert done.code == 0, done.err
    check_whole(site, model)


def test_redirects_without_end(site: PullSite, hub: Hub, model: bytes) -> None:
    hub.switches.redirects = -1
    done = site.run("pull", hub.add(REFERENCE, model))
    assert done.code == 5
    assert "redirects" in done.err
    assert len(hub.requests) < 20


@pytest.mark.parametrize("difference", [-1000, 1000])
def test_a_wrong_content_length_is_refused(site: PullSite, hub: Hub, model: bytes, difference: int) -> None:
    hub.switches.length = len(model) + difference
    done = site.run("pull", hub.add(REFERENCE, model))
    assert done.code == 5
    assert f"{len(model) + difference} bytes, expected {len(model)}" in done.err
    assert site.list_visible() == set()
