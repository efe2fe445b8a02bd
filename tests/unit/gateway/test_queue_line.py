"""The slots of one server: nothing is lost, nothing is granted twice, keys take turns."""

from __future__ import annotations

import pytest
from gateway.queue.line import MAX_RETRY_AFTER_S, Line, QueueFullError, State, Ticket
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, MultipleResults, RuleBasedStateMachine, consumes, invariant, multiple, rule

KEYS = ("ada", "bob", "cyd")
LENGTH = 6

Asked = Ticket | MultipleResults[Ticket]


class LineMachine(RuleBasedStateMachine):
    """A line under random requests, returns and departures, beside a plain list of what was asked."""

    tickets: Bundle[Ticket] = Bundle("tickets")

    def __init__(self) -> None:
        super().__init__()
        self.line = Line(LENGTH)
        self.slots = 3
        self.asked: list[Ticket] = []
        self.granted: list[Ticket] = []
        self.now_s = 0.0

    def _ask(self, key: str, weight: int) -> Ticket | None:
        ticket = Ticket(key, weight)
        ticket.on_lease = lambda: self.granted.append(ticket)
        somebody_waits = self.line.waiting > 0
        try:
            is_leased = self.line.ask(ticket, self.slots, self.now_s)
        except QueueFullError:
            assert self.line.waiting == LENGTH
            assert ticket.state is State.NEW
            return None
        self.asked.append(ticket)
        assert not (is_leased and somebody_waits and self.line.waiting), "nobody may overtake those who wait"
        if is_leased:
            self.granted.append(ticket)
        return ticket

    @rule(target=tickets, key=st.sampled_from(KEYS), weight=st.integers(1, 5))
    def ask(self, key: str, weight: int) -> Asked:
        ticket = self._ask(key, weight)
        return multiple() if ticket is None else ticket

    @rule(ticket=consumes(tickets))
    def end(self, ticket: Ticket) -> None:
        self.now_s += 1
        self.line.end(ticket, self.now_s)
        self.line.end(ticket, self.now_s)
        assert ticket.state is State.ENDED

    @rule(target=tickets, slots=st.integers(1, 4))
    def find_another_number_of_slots(self, slots: int) -> Asked:
        self.slots = slots
        ticket = self._ask("ada", 1)
        return multiple() if ticket is None else ticket

    @invariant()
    def counts_are_those_of_the_tickets(self) -> None:
        leased = [ticket for ticket in self.asked if ticket.state is State.LEASED]
        assert self.line.leased == sum(ticket.weight for ticket in leased)
        assert self.line.waiting == sum(ticket.state is State.WAITING for ticket in self.asked)
        assert all(ticket in self.granted for ticket in leased)
        assert len(self.granted) == len(set(self.granted)), "nothing is granted twice"

    @invariant()
    def no_slot_is_idle_while_somebody_could_use_it(self) -> None:
        if self.line.waiting and self.line.slots == self.slots:
            heads = {ticket.key: ticket for ticket in reversed(self.asked) if ticket.state is State.WAITING}
            assert any(self.line.leased + min(head.weight, self.slots) > self.slots for head in heads.values())

    @invariant()
    def a_key_is_served_in_its_own_order(self) -> None:
        for key in KEYS:
            waiting = [i for i, t in enumerate(self.asked) if t.key == key and t.state is State.WAITING]
            granted = [i for i, t in enumerate(self.asked) if t.key == key and t in self.granted]
            assert granted == [self.asked.index(t) for t in self.granted if t.key == key]
            assert not waiting or not granted or max(granted) < min(waiting)


LineMachine.TestCase.settings = settings(max_examples=150, stateful_step_count=40, deadline=None)
test_a_line = LineMachine.TestCase


def _fill(line: Line, *wanted: tuple[str, int]) -> tuple[list[Ticket], list[Ticket]]:
    """Ask in this order with two slots; all tickets, and the list that those which waited are later added to."""
    granted: list[Ticket] = []
    tickets = []
    for key, weight in wanted:
        ticket = Ticket(key, weight)
        ticket.on_lease = lambda ticket=ticket: granted.append(ticket)  # type: ignore[misc]
        line.ask(ticket, 2, 0.0)
        tickets.append(ticket)
    return tickets, granted


def _drain(line: Line, tickets: list[Ticket]) -> None:
    while leased := [ticket for ticket in tickets if ticket.state is State.LEASED]:
        line.end(leased[0], 1.0)


def test_keys_that_wait_take_turns() -> None:
    line = Line(10)
    tickets, granted = _fill(line, *[("busy", 2)] * 5, ("calm", 2), ("busy", 2), ("calm", 2))
    _drain(line, tickets)
    assert [ticket.key for ticket in granted] == ["busy", "calm", "busy", "calm", "busy", "busy", "busy"]
    assert (line.leased, line.waiting) == (0, 0)


def test_a_heavy_request_is_not_overtaken_and_takes_all_slots_at_most() -> None:
    line = Line(10)
    tickets, granted = _fill(line, ("a", 1), ("b", 9), ("c", 1))
    assert [ticket.state for ticket in tickets] == [State.LEASED, State.WAITING, State.WAITING]
    line.end(tickets[0], 1.0)
    assert granted == [tickets[1]]
    assert (tickets[1].weight, line.leased) == (2, 2)
    line.end(tickets[1], 2.0)
    assert granted == tickets[1:]


def test_one_that_leaves_the_head_of_the_line_lets_the_next_go() -> None:
    line = Line(10)
    tickets, granted = _fill(line, ("a", 1), ("b", 2), ("c", 1))
    line.end(tickets[1], 1.0)
    assert granted == [tickets[2]]


@pytest.mark.parametrize(("held_s", "expected"), [(0.01, 1), (4.0, 8), (500.0, MAX_RETRY_AFTER_S)])
def test_retry_after_comes_from_how_long_leases_last(held_s: float, expected: int) -> None:
    line = Line(3)
    first = Ticket("a", 2)
    line.ask(first, 2, 0.0)
    line.end(first, held_s)
    _fill(line, *[("a", 2)] * 4)
    with pytest.raises(QueueFullError, match="3 requests wait already") as caught:
        line.ask(Ticket("b"), 2, held_s)
    assert caught.value.retry_after_s == expected
