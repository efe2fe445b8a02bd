"""How far a transfer is, as one line: the rate is that of this run."""

from __future__ import annotations

from stackctl.core.text.progress import Transfer

GIB = 1 << 30


def test_what_was_there_already_says_nothing_about_the_rate() -> None:
    lines: list[str] = []
    times = iter([0.0, 1.0, 2.0])
    transfer = Transfer("loading", 10 * GIB, lines.append, lambda: next(times))
    transfer.skip(6 * GIB)
    for _ in range(3):
        transfer.add(GIB)
    assert lines[-1] == "loading: 9.0 GiB of 10 GiB, 1.5 GiB/s, 1 s left"


def test_without_a_known_total_there_is_no_time_left() -> None:
    transfer = Transfer("hashing", 0, print, lambda: 0.0)
    transfer.done = GIB
    assert transfer.render(2.0) == "hashing: 1.0 GiB, 512 MiB/s"
