"""A tenth of the long run: mixed requests to three providers that fail, clients that leave, killed workers."""

from __future__ import annotations

from tests.soak.mixed import run_mixed

REQUESTS, KILLS = 1000, 2


def test_nothing_hangs_is_wrong_or_stays_behind() -> None:
    report = run_mixed(REQUESTS, KILLS)
    assert report.problems == []
    assert report.ends.total() == REQUESTS
    assert report.ends["200 answered"] > REQUESTS // 2
    assert report.ends["left"] > 0
