"""The table of usage against providers that count: to the token, over several workers, also when some are killed."""

from __future__ import annotations

from pathlib import Path

from tests.soak.counted import run_counted

REQUESTS = 400
# A busy machine may be slow; the long run holds the tenth of a second.
LOSS_S = 2.0


def test_the_table_says_what_the_providers_counted(tmp_path: Path) -> None:
    report = run_counted(tmp_path / "state", REQUESTS, kills=0, loss_s=0.0)
    assert report.problems == []
    assert report.rows[0] == REQUESTS
    assert report.told.prompt > 100 * REQUESTS
    assert report.ends["200 ok"] > REQUESTS // 2
    assert report.ends["499 client_disconnected"] > 0


def test_a_killed_worker_loses_nothing_older(tmp_path: Path) -> None:
    report = run_counted(tmp_path / "state", REQUESTS, kills=3, loss_s=LOSS_S)
    assert report.problems == []
    assert report.rows[0] > REQUESTS * 3 // 4
