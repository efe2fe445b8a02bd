"""What a model wrote gets its numbers. Pure."""

from __future__ import annotations

from agents_client.results import (
    ContextQuestions,
    Function,
    Quality,
    Question,
    QuestionsDraft,
    Requirements,
    RequirementsDraft,
)


def number_questions(draft: QuestionsDraft) -> ContextQuestions:
    """``Q1`` and so on, in the order in which the model wrote them."""
    questions = (Question(id=f"Q{at}", **dict(found)) for at, found in enumerate(draft.questions, 1))
    return ContextQuestions(known=draft.known, questions=tuple(questions))


def number_requirements(draft: RequirementsDraft) -> Requirements:
    """``F1`` and so on for functions, ``N1`` for qualities."""
    functions = tuple(Function(id=f"F{at}", **dict(found)) for at, found in enumerate(draft.functions, 1))
    qualities = tuple(Quality(id=f"N{at}", **dict(found)) for at, found in enumerate(draft.qualities, 1))
    return Requirements(**{**dict(draft), "functions": functions, "qualities": qualities})
