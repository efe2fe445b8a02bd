"""What is mended and what is refused, as the table of the documentation says."""

from __future__ import annotations

import pytest
from agents.reading import UnreadableError, read_answer
from agents.requests import RequirementsRequest
from agents_client.results import QuestionDraft

from stackctl.core.agents.run import MAX_ANSWERS
from tests.fakes import CHECKOUT
from tests.unit.agents.broken_answers import CASES, GOOD, MENDED, VALUE, Broken

PAGE = CHECKOUT / "docs" / "reference" / "broken-answers.md"
ANALYSIS = {
    "title": "Report",
    "summary": "It takes two days.",
    "kind": "reporting",
    "complexity": "low",
    "goals": ["Less"],
    "obstacles": [],
    "constraints": [],
    "people": [],
    "unknowns": [],
}
_REASONS = {
    "no_object": "there is no object",
    "several_objects": "which of them is meant would be a guess",
    "repeated_field": "which of them is meant would be a guess",
    "cut_off": "what is missing would be a guess",
    "too_large": "no valid answer is like that",
    "missing": "what is missing would be a guess",
    "extra_forbidden": "nobody would read it",
}
_WRONG = "the value is not of its kind"


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.kind)
def test_what_is_made_of_it(case: Broken) -> None:
    if case.outcome == MENDED:
        found = read_answer(case.text, QuestionDraft, case.is_cut).value.model_dump(mode="json")
        assert found == {**VALUE, **case.changes}
        return
    with pytest.raises(UnreadableError) as raised:
        read_answer(case.text, QuestionDraft, case.is_cut)
    assert raised.value.faults[0].code == case.outcome


def test_a_valid_answer_is_taken_as_it_is_even_where_the_server_stopped_it() -> None:
    for is_cut in (False, True):
        reading = read_answer(GOOD, QuestionDraft, is_cut)
        assert (reading.value.model_dump(mode="json"), reading.is_mended) == (VALUE, False)


@pytest.mark.parametrize(
    "text", ['["]",' * 6000, "]" * 30_000 + '{"a":' * 6000, "(" * 5000, "{]" * 4000, '{"' + "abc " * 9000 + '"}']
)
def test_what_would_keep_the_mending_busy_or_break_it_is_refused(text: str) -> None:
    with pytest.raises(UnreadableError) as raised:
        read_answer(text, QuestionDraft)
    assert raised.value.faults[0].code == "too_large"


def test_a_name_that_a_model_made_up_can_be_sent_back_to_it() -> None:
    with pytest.raises(UnreadableError) as raised:
        read_answer('{"\\ud83d": 1, "\\ud83d": 2}', QuestionDraft)
    assert raised.value.faults[0].where.encode() == b"?"


def test_a_question_with_control_characters_can_come_back_with_its_answer() -> None:
    question = read_answer(GOOD.replace("Who?", "Who \\u001b[2J is it?\\u0000"), QuestionDraft).value.text
    assert question == "Who  [2J is it?"
    RequirementsRequest.model_validate({"analysis": ANALYSIS, "context": {question: "Accounting"}})


def test_answers_known_beforehand_leave_room_for_those_to_every_question() -> None:
    context = {str(at): "yes" for at in range(MAX_ANSWERS + 8)}
    assert RequirementsRequest.model_validate({"analysis": ANALYSIS, "context": context})


def test_the_page_has_this_table(pytestconfig: pytest.Config) -> None:
    rows = "\n".join(f"| {case.kind} | {describe(case)} |" for case in CASES)
    text = f"{_HEAD}| what the model wrote | what becomes of it |\n|---|---|\n{rows}\n"
    if pytestconfig.getoption("--update-goldens"):
        PAGE.write_text(text, encoding="utf-8")
    assert PAGE.read_text(encoding="utf-8") == text


def describe(case: Broken) -> str:
    return "mended" if case.outcome == MENDED else f"refused, `{case.outcome}`: {_REASONS.get(case.outcome, _WRONG)}"


_HEAD = """# Broken answers of models

Written by `tests/unit/agents/test_broken_answers.py` with `--update-goldens`, from the cases that it tries. An engine
that takes a schema writes none of these but what is cut off. Elsewhere [the agents](../guides/agents.md) mend what has
one reading, by json-repair and a few rules of their own, and ask again for the rest.

"""
