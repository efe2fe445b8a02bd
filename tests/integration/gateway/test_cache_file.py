"""The file of kept answers: what stands in it and where else, its size, its key, and what happens when it breaks."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.integration.gateway.cache_site import CacheSite, is_hit, run_cache_site, run_server
from tests.waiting import wait_for

ANSWER, PROMPT = "canary-2be7-answer", "canary-2be7-prompt"
KEY, OTHER_KEY = "k" * 32, "l" * 32
NOTED_S = 20.0


def read_files(site: CacheSite, text: str) -> set[str]:
    """Names of the files of the gateway in which a text stands."""
    paths = [*site.state.rglob("*"), site.gateway.log]
    return {path.name for path in paths if path.is_file() and text.encode() in path.read_bytes()}


def wait_noted(site: CacheSite, words: str) -> dict[str, Any]:
    """The one entry of the log with these words."""

    def find() -> list[dict[str, Any]]:
        return [entry for entry in site.read_log() if words in str(entry.get("message"))]

    (entry,) = wait_for(find, words, NOTED_S)
    return entry


def test_an_answer_stands_in_the_file_alone_and_a_prompt_nowhere(tmp_path: Path) -> None:
    with run_cache_site(tmp_path, GATEWAY_LOG_LEVEL="debug") as site:
        site.server.answer = f"{ANSWER}-{{number}}"
        for stream in (False, True):
            site.ask_kept("mine", PROMPT, stream=stream)
            assert is_hit(site.ask("mine", PROMPT, stream=stream))
        site.server.answer = "canary-2be7-plain"
        site.ask("plain", "canary-2be7-question")
        site.ask("mine", "canary-2be7-question", headers={"cache-control": "no-store"})
        assert read_files(site, ANSWER) <= {"cache.db", "cache.db-wal"}
        assert read_files(site, ANSWER)
        for text in (PROMPT, "canary-2be7-plain", "canary-2be7-question"):
            assert read_files(site, text) == set()
        for path in ("/metrics", "/health"):
            assert "canary" not in site.get_admin(path).text
        site.order("cache.clear")
        assert read_files(site, ANSWER) == set()


def test_with_a_key_nothing_can_be_read_and_another_key_finds_nothing(tmp_path: Path) -> None:
    with run_server() as running:
        with run_cache_site(tmp_path, running=running, GATEWAY_CACHE_KEY=KEY) as site:
            site.server.answer = ANSWER
            person = site.create("person")
            first = site.ask_kept("mine", PROMPT, person)
            assert ANSWER in first.text
            assert is_hit(site.ask("mine", PROMPT, person))
            assert read_files(site, ANSWER) == read_files(site, PROMPT) == set()
        with run_cache_site(tmp_path, running=running, GATEWAY_CACHE_KEY=KEY) as site:
            assert site.ask("mine", PROMPT, person).content == first.content
            assert is_hit(site.ask("mine", PROMPT, person))
            assert read_files(site, ANSWER) == read_files(site, PROMPT) == set()
        with run_cache_site(tmp_path, running=running, GATEWAY_CACHE_KEY=OTHER_KEY) as site:
            wait_noted(site, "1 kept answers were not encrypted with this GATEWAY_CACHE_KEY")
            assert not is_hit(site.ask("mine", PROMPT, person))


def test_a_restart_keeps_them_but_not_for_another_key_of_the_environment(tmp_path: Path) -> None:
    with run_server() as running:
        with run_cache_site(tmp_path, running=running) as site:
            person = site.create("person")
            first, of_client = site.ask_kept("mine", "kept", person), site.ask_kept("mine", "kept")
        with run_cache_site(tmp_path, running=running) as site:
            again = site.ask("mine", "kept", person)
            assert is_hit(again)
            assert again.content == first.content
            assert site.ask("mine", "kept").content != of_client.content
        (tmp_path / "gateway.db").unlink()
        with run_cache_site(tmp_path, running=running) as site:
            assert not is_hit(site.ask("mine", "kept", site.create("person")))


def test_an_entry_that_was_changed_is_not_given(tmp_path: Path) -> None:
    with run_cache_site(tmp_path, GATEWAY_CACHE_KEY=KEY) as site:
        site.ask_kept("mine", PROMPT)
        with closing(sqlite3.connect(site.file)) as connection, connection:
            connection.execute("UPDATE answers SET stored_at = stored_at + 1, ends_at = ends_at + 1000")
        assert not is_hit(site.ask("mine", PROMPT))


def test_a_key_that_is_set_later_removes_what_stands_in_the_clear(tmp_path: Path) -> None:
    with run_cache_site(tmp_path) as site:
        site.server.answer = ANSWER
        site.ask_kept("mine", PROMPT)
        assert read_files(site, ANSWER)
    with run_cache_site(tmp_path, GATEWAY_CACHE_KEY=KEY) as site:
        assert read_files(site, ANSWER) == set()
        assert site.count() == 0


def test_what_no_route_wants_any_more_is_removed_at_the_next_start(tmp_path: Path) -> None:
    with run_cache_site(tmp_path) as site:
        site.ask_kept("mine", "gone")
        site.ask_kept("asked", "stays", headers={"x-gateway-cache": "use"})
    with run_cache_site(tmp_path, rules={"mine": None, "asked": {"when": "asked"}}) as site:
        assert [row["model"] for row in site.order("cache.show")["models"]] == ["asked"]
    with run_cache_site(tmp_path, rules={"mine": None}) as site:
        wait_noted(site, "no route has a cache any more")
        assert list(tmp_path.glob("cache.db*")) == []
        assert site.order("cache.show") == {"answers": 0, "bytes": 0, "models": []}
        assert site.order("cache.clear") == {"removed": 0}
        assert "cache" not in site.get_admin("/health").json()
        assert site.ask("mine").status_code == 200


def test_what_was_used_longest_ago_goes_first_and_the_size_holds(tmp_path: Path) -> None:
    with run_cache_site(tmp_path, size_mb=1, GATEWAY_LOG_LEVEL="debug") as site:
        site.server.answer = "{number} " + "x" * 100_000
        site.ask_kept("mine", "first")
        for number in range(20):
            site.ask_kept("mine", f"later {number}")
            assert site.order("cache.show")["bytes"] <= 1024 * 1024
        assert site.count() < 15
        assert not is_hit(site.ask_kept("mine", "first"))
        assert is_hit(site.ask("mine", "later 19"))
        assert not is_hit(site.ask("mine", "later 2"))
        assert site.file.stat().st_size <= 1024 * 1024


@pytest.mark.parametrize("damage", ["no database", "a newer gateway's"])
def test_a_file_that_is_none_is_made_anew(tmp_path: Path, damage: str) -> None:
    path = tmp_path / "cache.db"
    if damage == "no database":
        path.write_bytes(b"not a database at all" * 1000)
    else:
        with closing(sqlite3.connect(path)) as connection:
            connection.execute("PRAGMA user_version = 99")
    with run_cache_site(tmp_path) as site:
        site.ask_kept("mine", "anew")
        assert is_hit(site.ask("mine", "anew"))
        assert path.stat().st_mode & 0o777 == 0o600


def test_a_file_that_breaks_meanwhile_is_done_without(tmp_path: Path) -> None:
    with run_cache_site(tmp_path) as site:
        for number in range(20):
            site.ask_kept("mine", f"before {number}")
        for path in tmp_path.glob("cache.db*"):
            path.write_bytes(b"\xff" * path.stat().st_size)
        for number in range(40):
            assert site.ask("mine", f"after {number}").status_code == 200
        health = wait_for(lambda: _find_trouble(site), "the trouble in /health", NOTED_S)
        assert health["reason"]
        assert site.ask("mine", "after").headers["x-gateway-cache"] in ("unavailable", "miss")
        assert len([entry for entry in site.read_log() if "goes on without" in str(entry.get("message"))]) <= 2


def _find_trouble(site: CacheSite) -> Any:
    assert site.ask("mine", "trouble").status_code == 200
    cache = site.get_admin("/health").json()["cache"]
    return cache if cache["status"] == "unavailable" else None


def test_a_file_that_cannot_be_opened_is_said_once_and_done_without(tmp_path: Path) -> None:
    (tmp_path / "cache.db").mkdir()
    with run_cache_site(tmp_path) as site:
        for _ in range(3):
            assert site.ask("mine").headers["x-gateway-cache"] == "unavailable"
        assert site.get_admin("/health").json()["cache"]["status"] == "unavailable"
        wait_noted(site, "answers cannot be kept")


def test_while_another_process_holds_the_file_answers_are_given_and_not_kept(tmp_path: Path) -> None:
    with run_cache_site(tmp_path) as site:
        site.ask_kept("mine", "before")
        with hold_file(site.file):
            assert site.ask("mine", "held").status_code == 200
            assert is_hit(site.ask("mine", "before"))
            wait_noted(site, "another process holds it")
            assert site.get_admin("/health").json()["cache"]["status"] == "unavailable"
            assert is_hit(site.ask("mine", "before"))
        wait_noted(site, "no longer: answers cannot be kept")
        site.ask_kept("mine", "after")
        assert site.get_admin("/health").json()["cache"] == {"status": "ok"}


@contextmanager
def hold_file(path: Path) -> Iterator[None]:
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute("BEGIN IMMEDIATE")
        yield
        connection.execute("ROLLBACK")


def test_a_full_disk_ends_nothing(tmp_path: Path) -> None:
    """Its file system has no room: SQLite sees the same as where the file may not grow."""
    with run_cache_site(tmp_path, size_mb=64) as site:
        site.ask_kept("mine", "before")
        site.server.answer = "{number} " + "x" * 1_000_000
        with fill_disk(site.gateway.pid):
            for number in range(4):
                assert site.ask("mine", f"full {number}").status_code == 200
            wait_noted(site, "answers cannot be kept")
            assert is_hit(site.ask("mine", "before"))
            reason = site.get_admin("/health").json()["cache"]["reason"]
            assert reason in ("the disk is full", "the disk does not answer as it should")
        wait_noted(site, "no longer: answers cannot be kept")
        site.ask_kept("mine", "after")


@contextmanager
def fill_disk(pid: int) -> Iterator[None]:
    import resource

    before = resource.prlimit(pid, resource.RLIMIT_FSIZE)
    resource.prlimit(pid, resource.RLIMIT_FSIZE, (200_000, before[1]))
    try:
        yield
    finally:
        resource.prlimit(pid, resource.RLIMIT_FSIZE, before)


def test_several_workers_share_what_is_kept(tmp_path: Path) -> None:
    with run_cache_site(tmp_path, GATEWAY_WORKERS="3") as site:
        texts = [f"text {number % 10}" for number in range(120)]
        with ThreadPoolExecutor(8) as pool:
            answers = list(pool.map(lambda text: site.ask("shared", text), texts))
        assert {answer.status_code for answer in answers} == {200}
        for number in range(10):
            wait_for(lambda text=f"text {number}": is_hit(site.ask("shared", text)), "a hit")  # type: ignore[misc]

        def ask_again() -> set[bytes] | None:
            asked = len(site.server.asked)
            with ThreadPoolExecutor(8) as pool:
                again = list(pool.map(lambda text: site.ask("shared", text), texts))
            return {answer.content for answer in again} if len(site.server.asked) == asked else None

        # A look that takes longer than 250 ms, as on a busy machine, is none, and its request is answered anew.
        assert len(wait_for(ask_again, "a round of hits alone")) == 10
        assert site.order("cache.clear", model="shared") == {"removed": 10}
        assert not is_hit(site.ask("shared", "text 0"))
        assert site.get_admin("/metrics").text.count("gateway_cache_bytes ") >= 1
