"""Ask the agents about a problem in a file, one after the other, and keep what they answer beside it.

In: the file's path. Out: the run so far. Does I/O through its effects: files, HTTP to the agents of this stack.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor, wait
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from stackctl.core.agents.replies import AgentRefusal, describe_progress, parse_reply
from stackctl.core.agents.run import (
    ANALYSIS,
    PATHS,
    PROGRESS_PATH,
    QUESTIONS,
    REQUIREMENTS,
    STEPS,
    SUFFIX,
    AgentRun,
    begin_run,
    parse_context,
    parse_run,
    render_run,
)
from stackctl.core.settings.settings import Settings
from stackctl.core.settings.sources import check_secrets
from stackctl.core.stack.runtime import Answer
from stackctl.errors import ConfigError, Finding
from stackctl.operations.effects import Effects
from stackctl.operations.look.routes import find_demo
from stackctl.operations.site.load_settings import load_settings

# What a person said is nobody else's.
_MODE = 0o600
_GRACE_S = 15.0
# A person sees so often that a call is still waited for, and every so many times the agents are asked how far it is.
_TICK_S, _TICKS_A_QUESTION, _QUESTION_S = 1.0, 5, 1.0
_DOING = {ANALYSIS: "analysing", QUESTIONS: "looking for questions", REQUIREMENTS: "writing requirements"}

# A question in, a person's answer out; None where nobody can be asked.
AskPerson = Callable[[Mapping[str, Any]], str | None]


@dataclass(frozen=True, slots=True)
class Wishes:
    """What the command line said.

    Attributes:
        language, model: empty for the service's own.
        is_anew: whether what is there is left behind.
        goes_on: whether requirements are written although a required question has no answer.
        context: file of what is known beforehand; None for what the run knows already.
    """

    language: str = ""
    model: str = ""
    is_anew: bool = False
    goes_on: bool = False
    context: Path | None = None


class Work:
    """One run over one file.

    Attributes:
        path: path of the run's file.
        warnings: what a person should know before a model is asked.
    """

    def __init__(self, effects: Effects, file: Path, wishes: Wishes) -> None:
        resolved, stackfile = load_settings(effects)
        check_secrets(resolved.values, ".env")
        self._effects, self._wishes = effects, wishes
        self._settings: Settings = resolved.values
        self._model = wishes.model or self._settings.agents_model
        self.path = file.with_name(file.name + SUFFIX)
        self._problem = text = self._load(file, "name a text file in which the problem is told")
        kept = None if wishes.is_anew else effects.files.load_text(self.path)
        self.run = begin_run(text)
        self.warnings: tuple[Finding, ...] = find_demo(effects, resolved, stackfile, self._model)
        if kept is not None:
            self.run = parse_run(kept, text, str(self.path))
        if wishes.context is not None:
            known = self._load(wishes.context, "name a file of what is known")
            self.run = replace(self.run, context=parse_context(known, str(wishes.context)))

    @property
    def is_done(self) -> bool:
        """Whether no step is still to come."""
        return all(getattr(self.run, step) is not None for step in STEPS)

    def take_step(self, step: str) -> None:
        """Ask one agent, and keep its answer.

        Raises:
            AgentRefusal: there is no valid answer; what the model wrote last is in a file beside.
        """
        body: dict[str, Any] = self.run.build_body(step, self._problem)
        # A run stays in the language that it was begun in.
        language = self._wishes.language or self.run.calls.get(ANALYSIS, {}).get("language", "")
        body |= {name: value for name, value in (("language", language), ("model", self._wishes.model)) if value}
        url = f"http://127.0.0.1:{self._settings.agents_port}"
        answer = self._wait_answer(step, url, body)
        try:
            result, call = parse_reply(answer, url)
        except AgentRefusal as refusal:
            raise self._keep_raw(refusal) from None
        self._keep(self.run.add_result(step, result, call))

    def _wait_answer(self, step: str, url: str, body: Mapping[str, Any]) -> Answer:
        """Ask, and tell how long it goes on; an interruption does not wait for the answer."""
        most_s, terminal, clock = self._settings.agents_timeout_s, self._effects.terminal, self._effects.clock
        terminal.report(f"{_DOING[step]}: {self._model}, for at most {most_s} s")
        call = f"stackctl-{clock.now().timestamp() * 1e6:.0f}"
        fetch = partial(self._effects.network.fetch, key=self._settings.gateway_key)
        pool, began, ticks, progress = ThreadPoolExecutor(1), clock.monotonic(), 0, ""
        try:
            headers = {"x-request-id": call}
            asked = pool.submit(fetch, url + PATHS[step], timeout_s=most_s + _GRACE_S, body=body, headers=headers)
            while not wait((asked,), _TICK_S).done:
                if ticks % _TICKS_A_QUESTION == 0:
                    progress = describe_progress(fetch(url + PROGRESS_PATH + call, timeout_s=_QUESTION_S))
                ticks += 1
                waited_s = clock.monotonic() - began
                terminal.report(f"{_DOING[step]}: {self._model}, {waited_s:.0f} s of at most {most_s} s{progress}")
            return asked.result()
        finally:
            pool.shutdown(wait=False, cancel_futures=True)
            terminal.finish()

    def answer_questions(self, ask: AskPerson) -> bool:
        """Let a person answer what is not answered yet, and keep each answer at once.

        Returns:
            Whether somebody was there to ask.
        """
        for question in self.run.asked:
            if not self.run.answers.get(question["id"], "").strip():
                answer = ask(question)
                if answer is None:
                    return False
                self._keep(self.run.add_answer(question["id"], answer))
        return True

    def finish(self, ask: AskPerson) -> bool:
        """Take every step that is still to come.

        Returns:
            Whether all is there; False where the run waits for a person's answers.
        """
        if self.run.analysis is None:
            self.take_step(ANALYSIS)
        is_new = self.run.questions is None
        if is_new:
            self.take_step(QUESTIONS)
        if self.run.requirements is None:
            was_asked = self.answer_questions(ask)
            # Where nobody was there, the questions are seen before anything is made of them.
            waits = self.run.unanswered or (is_new and self.run.asked and not was_asked)
            if waits and not self._wishes.goes_on:
                return False
            self.take_step(REQUIREMENTS)
        return self.is_done

    def _load(self, file: Path, hint: str) -> str:
        text = self._effects.files.load_text(file)
        if text is None:
            raise ConfigError(f"There is no file '{file}'.", hint)
        return text

    def _keep(self, run: AgentRun) -> None:
        self.run = run
        self._effects.files.save_text(self.path, render_run(run), _MODE)

    def _keep_raw(self, refusal: AgentRefusal) -> AgentRefusal:
        if refusal.raw_answer:
            place = self.path.with_suffix(".raw.txt")
            self._effects.files.save_text(place, refusal.raw_answer.encode("utf-8", "replace").decode(), _MODE)
            refusal.message += f" What the model wrote last is in '{place}'."
        return refusal
