"""The state in a real PostgreSQL server: all that is said of keys and usage in a SQLite file holds there, too."""

from __future__ import annotations

import asyncio
import inspect
import os
import resource
import threading
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from types import ModuleType

import pytest
from gateway.state.connection import Connection, StateError
from gateway.state.database import Database
from gateway.state.postgres import SCHEMA, PostgresServer
from gateway.state.schema import MIGRATIONS
from gateway.state.usage import add_usage, report_usage
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.postgres_server import Postgres
from tests.unit.gateway import test_key_secrets, test_keys, test_usage_table
from tests.unit.gateway.key_state import State
from tests.unit.gateway.test_usage_table import NOON, check_span, row, times


def take(module: ModuleType, fixture: str) -> None:
    """Run a module's tests again, with this module's fixture."""
    for name, test in vars(module).items():
        if name.startswith("test_") and fixture in inspect.signature(test).parameters:
            globals()[name] = test


take(test_keys, "state")
take(test_key_secrets, "state")
take(test_usage_table, "connection")


@pytest.fixture(scope="module")
def emptied(postgres_server: Postgres) -> str:
    """The name of one database for every test here: making one takes longer than most of them."""
    return postgres_server.make_database()


@pytest.fixture
def server(postgres: Postgres, emptied: str, tmp_path: Path) -> PostgresServer:
    """A database with nothing of a gateway's in it."""
    postgres.run(f"DROP SCHEMA IF EXISTS {SCHEMA} CASCADE", emptied)
    return PostgresServer(postgres.build_url(emptied), tmp_path)


class ServerState(State):
    def __init__(self, server: PostgresServer, postgres: Postgres) -> None:
        super().__init__(server)
        self._postgres = postgres

    def dump(self) -> bytes:
        name = str(self.place).split()[-1]
        tables = ("keys", "secrets", "facts")
        return repr([self._postgres.run(f"SELECT * FROM {SCHEMA}.{table}", name) for table in tables]).encode()


@pytest.fixture
def state(server: PostgresServer, postgres: Postgres) -> Iterator[State]:
    state = ServerState(server, postgres)
    yield state
    state.database.close_here()


@pytest.fixture
def connection(server: PostgresServer) -> Iterator[Connection]:
    session = server.connect()
    yield session.read(lambda connection: connection)
    session.close()


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(ended=st.lists(times, max_size=12), since=st.none() | times, until=st.none() | times)
def test_any_span_has_exactly_its_records(
    connection: Connection, ended: list[float], since: float | None, until: float | None
) -> None:
    connection.execute("TRUNCATE usage, usage_of_keys, usage_of_models")
    check_span(connection, ended, since, until)


def test_gateways_that_start_together_make_the_tables_once(server: PostgresServer) -> None:
    failures: list[BaseException] = []

    def start() -> None:
        try:
            server.connect().close()
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=start) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    database = Database(server)
    assert database.read_here(lambda c: c.execute("SELECT number FROM form").fetchall()) == [(len(MIGRATIONS),)]
    assert database.read_here(lambda c: c.execute("SELECT count(*) FROM facts").fetchone()) == (2,)
    database.close_here()


@pytest.mark.parametrize("seen", range(1, len(MIGRATIONS)))
def test_older_tables_become_the_newest(server: PostgresServer, monkeypatch: pytest.MonkeyPatch, seen: int) -> None:
    with monkeypatch.context() as older:
        for module in ("gateway.state.postgres", "gateway.state.schema"):
            older.setattr(f"{module}.MIGRATIONS", MIGRATIONS[:seen])
        server.connect().close()
    database = Database(server)
    database.write_here(lambda connection: add_usage(connection, [row()]))
    assert [item.name for item in database.read_here(lambda connection: report_usage(connection, "key"))] == ["ann"]
    database.close_here()


def test_a_newer_gateways_tables_are_refused_and_left_alone(server: PostgresServer) -> None:
    database = Database(server)
    database.write_here(lambda c: c.execute("UPDATE form SET number = ?", (len(MIGRATIONS) + 1,)))
    database.close_here()
    with pytest.raises(StateError, match=f"a newer gateway's: its form is {len(MIGRATIONS) + 1}"):
        server.connect()


def test_a_job_that_fails_changes_nothing(server: PostgresServer) -> None:
    database = Database(server)

    def half(connection: Connection) -> None:
        connection.execute("INSERT INTO facts VALUES ('half', 1)")
        raise LookupError("of the job's own")

    with pytest.raises(LookupError):
        database.write_here(half)
    with pytest.raises(StateError, match="nowhere"):
        database.write_here(lambda connection: connection.execute("INSERT INTO nowhere VALUES (1)"))
    assert database.read_here(lambda c: c.execute("SELECT count(*) FROM facts").fetchone()) == (2,)
    database.close_here()


def test_writers_at_once_lose_nothing_and_none_waits_for_ever(server: PostgresServer) -> None:
    """Each batch adds to the sums of many keys, in an order of its own."""

    def write(number: int) -> None:
        database = Database(server)
        for round_ in range(20):
            names = [f"key-{(index * (number + 3) + round_) % 17}" for index in range(17)]
            database.write_here(lambda c, names=names: add_usage(c, [row(NOON, key=name) for name in names]))  # type: ignore[misc]
        database.close_here()

    threads = [threading.Thread(target=write, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    database = Database(server)
    sums = database.read_here(lambda connection: report_usage(connection, "key"))
    assert sum(item.requests for item in sums) == 4 * 20 * 17
    assert database.read_here(lambda c: c.execute("SELECT count(*) FROM usage").fetchone()) == (4 * 20 * 17,)
    database.close_here()


def test_a_process_with_many_connections_uses_the_server(server: PostgresServer) -> None:
    """Numbers of files from 1024 on are more than ``select`` takes; each client of a gateway has one."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with ExitStack() as stack:
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
        stack.callback(resource.setrlimit, resource.RLIMIT_NOFILE, (soft, hard))
        for _ in range(1024):
            stack.callback(os.close, os.open(os.devnull, os.O_RDONLY))
        database = Database(server)
        stack.callback(database.close_here)
        for _ in range(2):
            assert database.read_here(lambda c: c.execute("SELECT count(*) FROM facts").fetchone()) == (2,)


def test_what_took_too_long_for_who_asked_is_not_kept(server: PostgresServer) -> None:
    has_given_up = threading.Event()

    def write_slowly(connection: Connection) -> None:
        connection.execute("INSERT INTO facts VALUES ('late', 1)")
        assert has_given_up.wait(30)

    async def run() -> None:
        database = Database(server, longest_s=1.0)
        with pytest.raises(StateError, match="did not answer within 1 s"):
            await database.write(write_slowly)
        has_given_up.set()
        await database.close()

    asyncio.run(run())
    database = Database(server)
    assert database.read_here(lambda c: c.execute("SELECT count(*) FROM facts").fetchone()) == (2,)
    database.close_here()
