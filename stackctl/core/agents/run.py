"""A run of the three agents over one problem: what is there, what comes next, and its file. Pure.

The file stands beside the problem's and is a person's to edit: answers to questions are written into it.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from stackctl.errors import ConfigError

ANALYSIS, QUESTIONS, REQUIREMENTS = "analysis", "questions", "requirements"
STEPS = (ANALYSIS, QUESTIONS, REQUIREMENTS)
PATHS = {ANALYSIS: "/v1/problem-analysis", QUESTIONS: "/v1/context-questions", REQUIREMENTS: "/v1/requirements"}
PROGRESS_PATH = "/v1/calls/"
SUFFIX = ".run.json"
# What the agents take.
MAX_PROBLEM, MAX_ANSWERS, MAX_ANSWER = 20_000, 50, 4000
_VERSION = 1
_CONTEXT = "context"
_CONTEXT_HINT = 'write a text, or a JSON object such as {"Who reads the report?": "Accounting"}'
_ANEW = "give --anew to begin again, or move the file away"


@dataclass(frozen=True, slots=True)
class AgentRun:
    """How far a run is.

    Attributes:
        problem_sha256: of the problem's text that the run began with.
        analysis, questions, requirements: results as the agents gave them; None where that is still to come.
        answers: a person's answer by the question's id; empty where there is none yet.
        context: what a person has said beforehand, answer by question or name.
        calls: how each result came about, by step.
    """

    problem_sha256: str
    analysis: Mapping[str, Any] | None = None
    questions: Mapping[str, Any] | None = None
    requirements: Mapping[str, Any] | None = None
    answers: Mapping[str, str] = field(default_factory=dict)
    context: Mapping[str, str] = field(default_factory=dict)
    calls: Mapping[str, Any] = field(default_factory=dict)

    @property
    def asked(self) -> tuple[Mapping[str, Any], ...]:
        """The questions."""
        return tuple((self.questions or {}).get("questions", ()))

    @property
    def unanswered(self) -> tuple[Mapping[str, Any], ...]:
        """Those without which requirements cannot be written, and which nobody has answered."""
        return tuple(one for one in self.asked if one["is_required"] and not self.answers.get(one["id"], "").strip())

    def add_result(self, step: str, result: Mapping[str, Any], call: Mapping[str, Any]) -> AgentRun:
        """With a result; what was made of an older one is gone."""
        later = dict.fromkeys(STEPS[STEPS.index(step) + 1 :])
        changes: dict[str, Any] = {**later, step: result, "calls": {**self._keep_calls(step), step: call}}
        if step == ANALYSIS:
            changes["answers"] = {}
        elif step == QUESTIONS:
            changes["answers"] = {one["id"]: "" for one in result["questions"]}
        return replace(self, **changes)

    def add_answer(self, question: str, answer: str) -> AgentRun:
        """With an answer to the question of this id."""
        return replace(self, answers={**self.answers, question: answer})

    def build_body(self, step: str, problem: str) -> dict[str, Any]:
        """What the agent of this step is sent.

        Raises:
            ConfigError: there is no analysis yet.
        """
        if step == ANALYSIS:
            return {"problem": problem}
        if self.analysis is None:
            raise ConfigError("There is no analysis of this problem yet.", "run 'stackctl agents analyze FILE'")
        answers = self._list_answers() if step == REQUIREMENTS else {}
        return {"analysis": self.analysis, "context": {**self.context, **answers}}

    def _list_answers(self) -> dict[str, str]:
        found: dict[str, str] = {}
        for one in self.asked:
            text, answer = str(one["text"]), self.answers.get(one["id"], "").strip()
            if answer:  # a small model may ask one thing twice
                found[text] = f"{found[text]}\n{answer}" if text in found else answer
        return found

    def _keep_calls(self, step: str) -> dict[str, Any]:
        return {name: call for name, call in self.calls.items() if STEPS.index(name) < STEPS.index(step)}


def begin_run(problem: str) -> AgentRun:
    """A run that has nothing yet.

    Raises:
        ConfigError: the text is empty or too long.
    """
    if not problem.strip() or len(problem) > MAX_PROBLEM:
        raise ConfigError(
            f"The problem has {len(problem.strip())} characters; expected 1 to {MAX_PROBLEM}.",
            "write down what the problem is, in a text file",
        )
    return AgentRun(_hash(problem))


def parse_run(text: str, problem: str, name: str) -> AgentRun:
    """The run that a file has.

    Args:
        problem: the problem's text as it is now.
        name: the file's path, for messages.

    Raises:
        ConfigError: it is no run, or one of another text.
    """
    try:
        found = json.loads(text)
        run = AgentRun(**{key: value for key, value in found.items() if key != "version"})
        _check(run)
    except (ValueError, TypeError, AttributeError, LookupError, RecursionError) as error:
        raise ConfigError(f"'{name}' is no run of the agents: {type(error).__name__}.", _ANEW) from error
    if found.get("version") != _VERSION:
        raise ConfigError(f"'{name}' is of another version; expected {_VERSION}.", _ANEW)
    if run.problem_sha256 != _hash(problem):
        raise ConfigError(f"The problem has changed since '{name}' was begun.", _ANEW)
    return run


def render_run(run: AgentRun) -> str:
    """The file's text."""
    return json.dumps({"version": _VERSION, **asdict(run)}, ensure_ascii=False, indent=2) + "\n"


def parse_context(text: str, name: str) -> dict[str, str]:
    """What a person knows beforehand: an object of answers in JSON, or a text in their own words.

    Args:
        name: the file's path, for messages.

    Raises:
        ConfigError: it is empty, too long, or JSON that is no such object.
    """
    try:
        found = json.loads(text) if text.lstrip().startswith("{") else {_CONTEXT: text.strip()}
    except (ValueError, RecursionError) as error:
        raise ConfigError(f"'{name}' begins as JSON and is none.", _CONTEXT_HINT) from error
    if not found or not all(
        isinstance(answer, str) and key.strip() and answer.strip() for key, answer in found.items()
    ):
        raise ConfigError(f"'{name}' has no answers, or one that is no text.", _CONTEXT_HINT)
    longest = max(len(answer) for answer in found.values())
    if longest > MAX_ANSWER or len(found) > MAX_ANSWERS:
        raise ConfigError(
            f"'{name}' has {len(found)} answers, the longest of {longest} characters; expected up to {MAX_ANSWERS} of"
            f" {MAX_ANSWER}.",
            _CONTEXT_HINT,
        )
    return found


def _check(run: AgentRun) -> None:
    """Refuse what the steps would stumble over; the agents look at the rest."""
    for one in (run.analysis, run.questions, run.requirements):
        if one is not None and not isinstance(one, dict):
            raise TypeError("a result is no object")
    for one in run.asked:
        if not all(isinstance(one[key], str) for key in ("id", "text", "reason")):
            raise TypeError("a question has no text")
        one["options"], one["is_required"]
    answers = (*run.answers.values(), *run.context.values())
    if not all(isinstance(answer, str) for answer in answers) or not run.calls.keys() <= set(STEPS):
        raise TypeError("an answer is no text")


def _hash(problem: str) -> str:
    return hashlib.sha256(problem.encode("utf-8", "surrogatepass")).hexdigest()
