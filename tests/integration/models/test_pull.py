"""``stackctl models pull`` as it usually goes, from a hub, a mirror and a plain address; and without a network."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.gguf_files import write_shards
from tests.integration.hub_server import Hub, run_hub
from tests.integration.models.pulling import DEADLINE_S, MIB, REFERENCE, PullSite, check_whole, interrupt


def test_a_pulled_model_is_whole_recorded_and_not_pulled_again(site: PullSite, hub: Hub, model: bytes) -> None:
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
def test_a_plain_address_and_its_pinned_digest(site: PullSite, hub: Hub, model: bytes, pin: str) -> None:
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


def test_all_shards_come_and_appear_together(site: PullSite, hub: Hub, tmp_path: Path) -> None:
    paths = write_shards(tmp_path, 3, "big")
    for path in paths:
        hub.add(f"Acme/Big-GGUF/Q4/{path.name}", path.read_bytes())
    done = site.run("pull", "hf:Acme/Big-GGUF/Q4/big-00002-of-00003.gguf", "--json")
    assert done.code == 0, done.err
    assert json.loads(done.out)["setting"] == "CHAT_MODEL=big-00001-of-00003.gguf"
    assert {path.name for path in paths} <= site.list_visible()


def test_one_missing_shard_leaves_none(site: PullSite, hub: Hub, tmp_path: Path) -> None:
    for path in write_shards(tmp_path, 3, "big")[:2]:
        hub.add(f"Acme/Big-GGUF/{path.name}", path.read_bytes())
    done = site.run("pull", "hf:Acme/Big-GGUF/big-00001-of-00003.gguf")
    assert done.code == 3
    assert "big-00003-of-00003.gguf" in done.err
    assert site.list_visible() == set()


def test_a_server_without_head_or_length_is_enough(site: PullSite, hub: Hub, model: bytes) -> None:
    hub.add("plain/tiny.gguf", model)
    hub.switches.has_head = False
    assert site.run("pull", f"{hub.content}/plain/tiny.gguf").code == 0
    check_whole(site, model)


def test_redirects_inside_the_hub_are_followed(site: PullSite, hub: Hub, model: bytes) -> None:
    hub.switches.redirects = 3
    assert site.run("pull", hub.add(REFERENCE, model)).code == 0
    check_whole(site, model)


def test_a_slow_drip_arrives(site: PullSite, hub: Hub, model: bytes) -> None:
    hub.switches.piece = 997
    assert site.run("pull", hub.add(REFERENCE, model)).code == 0
    check_whole(site, model)


def test_the_record_says_which_commit_a_branch_was(site: PullSite, hub: Hub, model: bytes) -> None:
    assert site.run("pull", hub.add(REFERENCE, model)).code == 0
    record = (site.models / "tiny.gguf.sha256").read_text()
    assert record.startswith(f"# source: hf:{REFERENCE}@{'0' * 40}\n")


def test_a_mirror_goes_on_with_what_the_hub_began(site: PullSite, hub: Hub, model: bytes) -> None:
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


def test_offline_is_refused_in_words(site: PullSite, hub: Hub, model: bytes) -> None:
    done = site.run("pull", hub.add(REFERENCE, model), HF_HUB_OFFLINE="1")
    assert done.code == 5
    for word in ("HF_HUB_OFFLINE", "models add", "offline bundle", f"{hub.endpoint}/Acme"):
        assert word in done.err
    assert hub.requests == []


def test_an_unreachable_hub_is_refused_in_words(site: PullSite) -> None:
    done = site.run("pull", "qwen2.5-coder-7b", HF_ENDPOINT="http://127.0.0.1:9")
    assert done.code == 5
    for word in ("cannot reach 127.0.0.1", "models add qwen2.5-coder-7b-instruct-q4_k_m.gguf", "HF_ENDPOINT"):
        assert word in done.err


@pytest.mark.parametrize(
    ("proxy", "code", "words"),
    [
        ("127.0.0.1:9", 5, ["through the proxy", "models add tiny.gguf"]),
        ("socks5://127.0.0.1:9", 3, ["SOCKS is not supported", "http://HOST:PORT"]),
        ("http://proxy.example:port", 3, ["HTTPS_PROXY", "port"]),
        ("ftp://ann:a-secret@127.0.0.1:9", 3, ["HTTPS_PROXY", "ftp"]),
    ],
)
def test_a_proxy_that_does_not_work_is_named(
    site: PullSite, hub: Hub, model: bytes, proxy: str, code: int, words: list[str]
) -> None:
    # The test's own hub is on loopback, and would be asked directly.
    done = site.run("pull", hub.add(REFERENCE, model), HTTP_PROXY=proxy, HF_ENDPOINT="http://hub.invalid")
    assert done.code == code
    for word in words:
        assert word in done.err
    assert "a-secret" not in done.err


def test_a_model_of_absurdly_many_shards_is_refused_at_once(site: PullSite, hub: Hub) -> None:
    done = site.run("pull", "hf:Acme/Tiny-GGUF/x-00001-of-99999.gguf")
    assert done.code == 3
    assert "99999" in done.err
    assert not hub.requests
    assert not list(site.models.rglob("*.lock"))
