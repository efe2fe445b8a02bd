"""Requests while the engine cuts connections, 2,000 of them at once: none of its cuts is seen by a client."""

from __future__ import annotations

from tests.soak.steady import SLOTS, run_steady

SEQUENTIAL, CONCURRENT = 400, 2000


def test_no_client_sees_that_the_engine_cuts_connections() -> None:
    report = run_steady(SEQUENTIAL, CONCURRENT)
    assert report.problems == []
    assert report.tried_again >= (SEQUENTIAL + CONCURRENT) // 20
    assert SLOTS // 2 < report.most_at_once <= SLOTS
