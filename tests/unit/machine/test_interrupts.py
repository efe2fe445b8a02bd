"""Signals: the first interrupts, none interrupts what cleans up after it."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator

import pytest

from stackctl.adapters.machine.interrupts import CLEANING, ENDING, SIGNALS, hold_interrupts, interrupt_once


@pytest.fixture(autouse=True)
def handlers() -> Iterator[None]:
    """Whatever a test leaves, the next one starts as this process did."""
    before = {number: signal.getsignal(number) for number in SIGNALS}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


def strike(number: int = signal.SIGINT) -> None:
    """Send this process a signal; its handler has run when this returns."""
    os.kill(os.getpid(), number)


@pytest.mark.parametrize("number", SIGNALS)
def test_the_first_signal_interrupts_and_the_others_only_get_a_word(
    number: int, capfd: pytest.CaptureFixture[str]
) -> None:
    cleaned = []

    def work() -> None:
        with interrupt_once():
            try:
                strike(number)
            finally:
                for other in SIGNALS:
                    strike(other)
                with hold_interrupts():
                    strike(number)
                cleaned.append("all")

    with pytest.raises(KeyboardInterrupt):
        work()
    assert cleaned == ["all"]
    told = capfd.readouterr().err
    assert (told.count(ENDING), told.count(CLEANING)) == (len(SIGNALS), 1), "nothing is stopped where nothing is held"
    strike(number)  # on the way out it is ignored


def test_clean_up_after_a_failure_is_not_interrupted_by_the_first_signal_either() -> None:
    done = []
    with interrupt_once():
        try:
            raise ZeroDivisionError
        except ZeroDivisionError:
            with hold_interrupts():
                strike()
                done.append("cleaned")
        with pytest.raises(KeyboardInterrupt):
            strike()
    assert done == ["cleaned"]


def test_what_nohup_ignores_stays_ignored() -> None:
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    with interrupt_once(), hold_interrupts():
        strike(signal.SIGHUP)
        assert signal.getsignal(signal.SIGHUP) is signal.SIG_IGN


def test_without_a_signal_everything_is_as_before() -> None:
    before = [signal.getsignal(number) for number in SIGNALS]
    with interrupt_once(), hold_interrupts():
        pass
    assert [signal.getsignal(number) for number in SIGNALS] == before
