"""Watching the gateway: what is asked of it, and what is said when it does not answer."""

from __future__ import annotations

from itertools import islice

import pytest

from stackctl.core.stack.runtime import Answer
from stackctl.errors import NotRunning, UnhealthyError
from stackctl.operations.look.top import watch_gateway
from stackctl.operations.run.up import run_up
from tests.fakes import World, raised_by, write_env

METRICS = 'gateway_requests_total{route="/v1/chat/completions",model="mine",status="200"} 4\n'


@pytest.fixture
def world() -> World:
    """A world in which the stack runs."""
    world = World(write_env(STACK_RUNTIME="process"))
    run_up(world.effects)
    world.answers |= {"/metrics": Answer(200, METRICS), "/health": Answer(200, '{"targets": []}')}
    return world


def test_a_picture_after_each_interval(world: World) -> None:
    pictures = list(islice(watch_gateway(world.effects, 2.0), 3))
    assert [(item.window_s, item.speed.requests_per_s) for item in pictures] == [(2.0, 0.0)] * 3
    assert world.requests[-7:] == ["/metrics", *["/metrics", "/health"] * 3]


@pytest.mark.parametrize(
    ("answer", "said", "hint"),
    [
        (Answer(0, error="refused"), "does not answer", "stackctl health"),
        (Answer(401, "{}"), "refuses GATEWAY_ADMIN_KEY", "stackctl up"),
        (Answer(404, "{}"), "answered 404", "stackctl health"),
        (Answer(200, "<html>"), "'<html>' is no series", "stackctl health"),
    ],
)
def test_a_gateway_that_does_not_answer_as_one(world: World, answer: Answer, said: str, hint: str) -> None:
    world.answers["/metrics"] = answer
    error = raised_by(lambda: next(watch_gateway(world.effects, 2.0)))
    assert isinstance(error, UnhealthyError)
    assert said in error.message
    assert hint in error.hint


@pytest.mark.parametrize("answer", [Answer(200, "nonsense"), Answer(200, "[]")])
def test_health_that_cannot_be_read_leaves_the_targets_out(world: World, answer: Answer) -> None:
    world.answers["/health"] = answer
    assert next(watch_gateway(world.effects, 2.0)).targets == ()


def test_a_stopped_stack_is_not_asked() -> None:
    world = World(write_env(STACK_RUNTIME="process"))
    error = raised_by(lambda: next(watch_gateway(world.effects, 2.0)))
    assert isinstance(error, NotRunning)
    assert world.requests == []
