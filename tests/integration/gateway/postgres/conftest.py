"""One PostgreSQL server for all tests of a process, with a database of its own for each."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from stackctl.adapters.http.stand_in import StandIn, run_stand_in
from stackctl.core.drill.faults import OK
from tests.integration.gateway.postgres.shared_gates import Open, build_open
from tests.postgres_server import Postgres, run_postgres


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[Postgres]:
    with run_postgres() as running:
        yield running


@pytest.fixture
def postgres(postgres_server: Postgres) -> Iterator[Postgres]:
    """The server, which a test may kill and freeze: the next one finds it running."""
    yield postgres_server
    postgres_server.restore()


@pytest.fixture
def database(postgres: Postgres) -> str:
    return postgres.make_database()


@pytest.fixture(scope="session")
def provider() -> Iterator[StandIn]:
    with run_stand_in(lambda request, number: OK) as running:
        yield running


@pytest.fixture
def open_gate(postgres: Postgres, database: str, provider: StandIn, tmp_path: Path) -> Open:
    return build_open(postgres.build_url(database), provider, tmp_path)
