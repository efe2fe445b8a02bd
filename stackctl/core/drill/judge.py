"""Compare what a client saw of a failing provider with the table of outcomes. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from stackctl.core.drill.answers import CANARY
from stackctl.core.drill.asks import STREAMED, Ask
from stackctl.core.drill.behaviour import Behaviour
from stackctl.core.drill.plan import LONGEST_S, RETRIES, PlannedTrial
from stackctl.core.drill.refusals import CONTEXT_TOKENS, PROMPT_TOKENS
from stackctl.core.drill.rows import Row
from stackctl.core.drill.sightings import Received, Sighting, read_sighting

# What no client may read: the stand-in's own words, LiteLLM's, and addresses of servers behind the gateway.
SECRETS = (CANARY, "itellm", "10.9.8.7", "127.0.0.1", "Traceback", "aiohttp", "ClientConnector")
TEXT = Behaviour().text
_ANTHROPIC_TYPES = {400: "invalid_request_error", 429: "rate_limit_error", 503: "overloaded_error"}


@dataclass(frozen=True, slots=True)
class Trial:
    """One request of a drill, and what is known of it.

    Attributes:
        tries: how often the failing provider was asked; ``None`` where it cannot count.
        next_tries: how often the other provider was asked.
    """

    plan: PlannedTrial
    received: Received
    tries: int | None
    next_tries: int

    @property
    def row(self) -> Row:
        """How the provider failed."""
        return self.plan.row

    @property
    def ask(self) -> Ask:
        """What was asked."""
        return self.plan.ask

    @property
    def is_cut(self) -> bool:
        """Whether the client must see an answer that begins and is not finished."""
        return self.row.has_begun and self.ask.is_streamed

    @property
    def is_answered(self) -> bool:
        """Whether the client must see a right answer."""
        return self.row.status == 200 or (self.plan.has_next and self.row.falls_back and not self.is_cut)


def judge_trial(trial: Trial) -> tuple[str, ...]:
    """Everything that is not as the table says, in words; nothing when all is."""
    seen = read_sighting(trial.ask, trial.received)
    return (
        *_judge_transport(trial, seen),
        *(_judge_answer(trial, seen) if trial.is_answered else _judge_error(trial, seen)),
        *_judge_tries(trial),
        *_judge_secrets(trial.received),
    )


def describe_sighting(trial: Trial) -> str:
    """What the client saw, in a few words."""
    seen, received = read_sighting(trial.ask, trial.received), trial.received
    if not received.status:
        return f"no answer ({received.broke})"
    if seen.is_complete:
        return "an answer" if trial.next_tries == 0 else "the next one's answer"
    if seen.code and received.status == 200:
        return f"an answer that broke off, {seen.code}"
    return f"{received.status} {seen.code}" if seen.code else f"{received.status}, {seen.malformed or 'no end'}"


def _judge_transport(trial: Trial, seen: Sighting) -> Iterator[str]:
    received = trial.received
    if received.broke:
        yield f"the connection broke: {received.broke}"
    if seen.malformed:
        yield seen.malformed
    if received.elapsed_s > LONGEST_S:
        yield f"took {received.elapsed_s:.1f} s; expected at most {LONGEST_S:.0f} s"
    if "x-request-id" not in received.headers:
        yield "there is no X-Request-Id"


def _judge_answer(trial: Trial, seen: Sighting) -> Iterator[str]:
    if trial.received.status != 200 or not seen.is_complete:
        yield f"saw {trial.received.status} {seen.code}; expected a whole answer"
    elif trial.ask.format in STREAMED and seen.text != TEXT:
        yield f"the text is {seen.text!r}; expected {TEXT!r}"
    elif seen.models != (trial.ask.model,):
        yield f"'model' is {', '.join(seen.models)}; expected {trial.ask.model}"


def _judge_error(trial: Trial, seen: Sighting) -> Iterator[str]:
    row, received = trial.row, trial.received
    if seen.is_complete:
        yield "an answer was taken for complete that is not"
    if trial.is_cut and not TEXT.startswith(seen.text or "nothing"):
        yield f"the text is {seen.text!r}; expected the beginning of {TEXT!r}"
    errors = [_name_error(trial, *error) for error in row.list_errors(trial.ask.format)]
    if not any(_is_error(trial, seen, *error) for error in errors):
        yield f"saw {received.status} {seen.code or 'no error'}; expected {errors[0][0]} {errors[0][1]}"
    if row.has_numbers and not all(str(number) in seen.message for number in (PROMPT_TOKENS, CONTEXT_TOKENS)):
        yield f"the sentence lacks {PROMPT_TOKENS} or {CONTEXT_TOKENS}: {seen.message!r}"


def _name_error(trial: Trial, status: int, code: str) -> tuple[int, str]:
    """An error of the table as the client of this request sees it."""
    if trial.ask.format == "messages":
        code = _ANTHROPIC_TYPES.get(status, "api_error")
    elif trial.is_cut and code == "upstream_broken_answer":
        code = "upstream_error"
    return 200 if trial.is_cut else status, code


def _is_error(trial: Trial, seen: Sighting, status: int, code: str) -> bool:
    # Codes of a failed response are few, and OpenAI's own.
    is_code = seen.code == code or (trial.is_cut and trial.ask.format == "responses" and bool(seen.code))
    return trial.received.status == status and is_code


def _judge_tries(trial: Trial) -> Iterator[str]:
    expected = trial.row.count_tries(RETRIES, trial.ask.is_streamed)
    if trial.tries is not None and trial.tries != expected:
        yield f"the provider was asked {trial.tries} times; expected {expected}"
    next_expected = int(trial.is_answered and trial.row.status != 200)
    if trial.next_tries != next_expected:
        yield f"the next provider was asked {trial.next_tries} times; expected {next_expected}"


def _judge_secrets(received: Received) -> Iterator[str]:
    whole = received.text + "\n".join(f"{name}: {value}" for name, value in received.headers.items())
    for secret in SECRETS:
        if secret in whole:
            yield f"'{secret}' reached the client"
