"""The gateway's database file: made, brought to the newest form, refused, set aside, and never half-written."""

from __future__ import annotations

import asyncio
import os
import sqlite3
import stat
import subprocess
import sys
from pathlib import Path

import gateway
import pytest
from gateway.settings import parse_settings
from gateway.state.connection import Connection, StateError
from gateway.state.database import FILE_NAME, Database, Place, prepare, set_aside
from gateway.state.schema import MIGRATIONS
from gateway.state.start import prepare_state

from tests.gateway_calls import ENVIRONMENT

SOURCE = str(Path(gateway.__file__).parents[1])


def count_facts(connection: Connection) -> int:
    (count,) = connection.execute("SELECT count(*) FROM facts").fetchone()
    assert isinstance(count, int)
    return count


# What another worker does: transactions of its own in the same file.
WRITER = """
import sys, pathlib
from gateway.state.database import Database
database = Database(pathlib.Path(sys.argv[1]))
for number in range(50):
    database.write_here(lambda c: c.execute("INSERT INTO facts VALUES (?, 1)", (f"{sys.argv[2]} {number}",)))
"""


def test_only_the_owner_may_read_the_files(tmp_path: Path) -> None:
    path = prepare(tmp_path / "state")
    database = Database(path)
    database.write_here(lambda connection: connection.execute("INSERT INTO facts VALUES ('a', 1)"))
    files = sorted(path.parent.iterdir())
    assert [file.name for file in files] == [FILE_NAME, f"{FILE_NAME}-shm", f"{FILE_NAME}-wal"]
    assert {stat.S_IMODE(file.stat().st_mode) for file in files} == {0o600}
    database.close_here()


def test_a_file_that_others_may_read_is_closed_to_them(tmp_path: Path) -> None:
    path = prepare(tmp_path)
    path.chmod(0o644)
    prepare(tmp_path)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_what_is_there_survives_another_start(tmp_path: Path) -> None:
    database = Database(prepare(tmp_path))
    database.write_here(lambda connection: connection.execute("INSERT INTO facts VALUES ('mine', 7)"))
    database.close_here()
    again = Database(prepare(tmp_path))
    assert again.read_here(lambda c: c.execute("SELECT value FROM facts WHERE name = 'mine'").fetchone()) == (7,)
    again.close_here()


def test_a_job_that_fails_changes_nothing(tmp_path: Path) -> None:
    async def run() -> None:
        database = Database(prepare(tmp_path))
        before = await database.read(count_facts)

        def half(connection: Connection) -> None:
            connection.execute("INSERT INTO facts VALUES ('half', 1)")
            raise LookupError("of the job's own")

        with pytest.raises(LookupError):
            await database.write(half)
        with pytest.raises(StateError):
            await database.write(lambda connection: connection.execute("INSERT INTO nowhere VALUES (1)"))
        assert await database.read(count_facts) == before
        await database.close()

    asyncio.run(run())


def test_several_processes_write_the_same_file(tmp_path: Path) -> None:
    path = prepare(tmp_path)
    database = Database(path)
    before = database.read_here(count_facts)
    writers = [subprocess.Popen([sys.executable, "-c", WRITER, path, name], env=os.environ | {"PYTHONPATH": SOURCE})
               for name in ("one", "two")]  # fmt: skip
    assert [writer.wait(60) for writer in writers] == [0, 0]
    assert database.read_here(count_facts) == before + 100
    database.close_here()


def test_a_full_disk_is_said_and_loses_nothing(tmp_path: Path) -> None:
    database = Database(prepare(tmp_path))
    (pages,) = database.read_here(lambda connection: connection.execute("PRAGMA page_count").fetchone())
    database.read_here(lambda connection: connection.execute(f"PRAGMA max_page_count = {pages}"))
    before = database.read_here(count_facts)
    with pytest.raises(StateError, match="the disk is full"):
        database.write_here(lambda c: c.execute("INSERT INTO facts VALUES ('large', zeroblob(1000000))"))
    assert database.read_here(count_facts) == before
    database.close_here()


def test_a_newer_gateways_file_is_refused_and_left_alone(tmp_path: Path) -> None:
    path = prepare(tmp_path)
    with sqlite3.connect(path) as connection:
        connection.execute(f"PRAGMA user_version = {len(MIGRATIONS) + 1}")
    connection.close()
    before = path.read_bytes()
    with pytest.raises(StateError, match="a newer gateway's"):
        prepare(tmp_path)
    assert path.read_bytes() == before


def test_a_damaged_file_is_said_and_can_be_set_aside(tmp_path: Path) -> None:
    (tmp_path / FILE_NAME).write_bytes(b"not a database" * 1000)
    with pytest.raises(StateError, match="it is damaged") as caught:
        prepare(tmp_path)
    assert caught.value.is_broken
    aside = set_aside(tmp_path)
    assert aside.read_bytes().startswith(b"not a database")
    assert prepare(tmp_path).exists()


def test_a_file_that_went_away_is_not_made_anew(tmp_path: Path) -> None:
    path = prepare(tmp_path)
    path.unlink()
    with pytest.raises(StateError, match="cannot be opened"):
        Database(path).read_here(count_facts)
    assert not path.exists()


def start(folder: Path, **changes: str) -> Place | None:
    return prepare_state(parse_settings({**ENVIRONMENT, "GATEWAY_STATE": str(folder), **changes}))


def test_a_gateway_without_a_state_folder_keeps_nothing() -> None:
    assert prepare_state(parse_settings(ENVIRONMENT)) is None


def test_a_gateway_goes_on_without_a_state_that_it_cannot_use(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    assert start(tmp_path / "file") is None
    with pytest.raises(StateError):
        start(tmp_path / "file", GATEWAY_STATE_REQUIRED="true")


def test_a_damaged_state_is_set_aside_only_where_the_gateway_may_go_on_without(tmp_path: Path) -> None:
    damaged = b"not a database" * 1000
    (tmp_path / FILE_NAME).write_bytes(damaged)
    with pytest.raises(StateError):
        start(tmp_path, GATEWAY_STATE_REQUIRED="true")
    assert (tmp_path / FILE_NAME).read_bytes() == damaged
    assert start(tmp_path) == tmp_path / FILE_NAME
    assert [path.read_bytes() for path in tmp_path.glob("*.damaged-*")] == [damaged]
