"""The table of outcomes, row by row: providers that fail, behind the real gateway, seen by a client of each format.

Each request has a route of its own, alone or with a provider behind it that answers. What is compared, beside status,
code and text: how often each provider was asked, and that none of its words reached the client.
"""

from __future__ import annotations

import pytest

from stackctl.core.drill.asks import ClientFormat
from stackctl.core.drill.plan import Dialect
from stackctl.core.drill.rows import ALL_FORMATS, ROWS
from stackctl.operations.look.drill import Drilled, run_drill
from tests.integration.gateway.drilled import DRILL

OPENAI: Dialect = "openai-compatible"
ANTHROPIC: Dialect = "anthropic"
# Messages pass through as they are; the others are translated.
ANTHROPIC_FORMATS: tuple[ClientFormat, ...] = ("messages", "chat", "responses")


@pytest.fixture(scope="module")
def drilled() -> dict[Dialect, tuple[Drilled, ...]]:
    """Every row in every format, at once, by the provider's own format."""
    return {
        OPENAI: run_drill(DRILL, ROWS, ALL_FORMATS, OPENAI),
        ANTHROPIC: run_drill(DRILL, ROWS, ANTHROPIC_FORMATS, ANTHROPIC),
    }


@pytest.mark.parametrize("name", [row.name for row in ROWS])
@pytest.mark.parametrize("dialect", [OPENAI, ANTHROPIC])
def test_clients_see_what_the_table_says(
    drilled: dict[Dialect, tuple[Drilled, ...]], dialect: Dialect, name: str
) -> None:
    of_row = [item for item in drilled[dialect] if item.plan.row.name == name]
    assert of_row
    problems = [
        f"{item.plan.ask.format} {'streamed' if item.plan.ask.is_streamed else 'whole'}"
        f"{' with a next one' if item.plan.has_next else ''}: {problem}"
        for item in of_row
        for problem in item.problems
    ]
    assert problems == []
