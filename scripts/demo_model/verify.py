"""Checks an existing demo model against a llama.cpp server.

In: an engine that serves the model, the model's own tokenizer, the corpus. Out: one result a check. Asks the
engine; no other I/O.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice
from typing import Any

from tokenizers import Tokenizer

from demo_model.corpus import Corpus, Entry, Sampler
from demo_model.engine import SLOTS, Engine, closeness

# The last three are nowhere in the corpus.
SYSTEMS = (None, "You are a helpful assistant.", "Be brief.", "당신은 도움이 되는 조수입니다.",
           "Use British spelling.", "You are an assistant for the finance team. Answer politely.",
           "한국어 전문가입니다.")  # fmt: skip
SAMPLES = 200
ENDLESS_TOKENS = 600
# What must be perfect; the rest is measured for the card.
REQUIRED = frozenset(
    {
        "tokens",
        "fixed",
        "fixed, 8 at once",
        "fixed, streamed",
        "fixed, plain completions",
        "endless",
        "odd requests",
    }
)


@dataclass(frozen=True)
class Result:
    """How many of a check's cases were right, and the first that were not."""

    name: str
    right: int
    cases: int
    wrong: tuple[str, ...]

    @property
    def failed(self) -> bool:
        """Whether a check that must be perfect is not."""
        return self.name in REQUIRED and self.right < self.cases

    def __str__(self) -> str:
        lines = [f"{self.name}: {self.right} of {self.cases} ({self.right / self.cases:.1%})"]
        return "\n    ".join(lines + list(self.wrong))


def check_answers(engine: Engine, corpus: Corpus, tokenizer: Tokenizer, seed: int = 7) -> Iterator[Result]:
    """Yield the results of everything that chat and tokenizing promise."""
    sampler = Sampler(corpus, random.Random(seed))
    fixed = [entry for entry in corpus.entries if entry.fixed and not entry.endless]
    others = [entry for entry in corpus.entries if not entry.fixed]
    yield _check_tokens(engine, tokenizer, sampler)
    listed = [(system, e.questions[0], e.answer) for e in fixed for system in SYSTEMS]
    yield _check_chats("fixed", engine, listed, at_once=1)
    yield _check_chats("fixed, 8 at once", engine, listed * 4, at_once=SLOTS)
    yield _check_streams(engine, fixed)
    yield _check_completions(engine, fixed)
    yield _check_endless(engine, [entry for entry in corpus.entries if entry.endless])
    yield _check_odd_requests(engine)
    phrased = [(system, q, e.answer) for e in fixed for q in e.questions[1:] for system in SYSTEMS]
    yield _check_chats("fixed, other phrasings", engine, phrased)
    varied = [(None, sampler.question(e), e.answer) for e in sampler.rng.choices(fixed, k=SAMPLES)]
    yield _check_chats("fixed, varied spelling", engine, varied)
    padded = [(None, f"{sampler.padding(12)}\n\n{e.questions[0]}", e.answer) for e in fixed * 4]
    yield _check_chats("fixed, after unrelated text", engine, padded)
    distant = [(sampler.padding(40), e.questions[0], e.answer) for e in fixed]
    yield _check_chats("fixed, under a system message of 40 sentences", engine, distant)
    trained = [(None, q, e.answer) for e in others for q in e.questions]
    yield _check_chats("others, as trained", engine, trained)
    anew = [(None, q, e.answer) for e in others for q in e.held_out]
    yield _check_chats("others, phrased anew", engine, anew)
    yield _check_conversations(engine, sampler)


def check_embeddings(engine: Engine, corpus: Corpus) -> Result:
    """Check that a phrasing never trained on is closest to its own entry's first question."""
    known = [e for e in corpus.entries if not e.unknown and not e.endless]
    vectors = engine.embed([entry.questions[0] for entry in known])
    asked = [(entry, text) for entry in known for text in entry.held_out]
    wrong = []
    for (entry, text), vector in zip(asked, engine.embed([text for _, text in asked]), strict=True):
        nearest = max(range(len(known)), key=lambda i: closeness(vector, vectors[i]))
        if known[nearest] is not entry:
            wrong.append(f"{text!r} is nearest to {known[nearest].questions[0]!r}")
    return _result("embeddings, nearest question", len(asked), wrong)


def _check_tokens(engine: Engine, tokenizer: Tokenizer, sampler: Sampler) -> Result:
    texts = sampler.corpus.texts() + [sampler.nonsense() for _ in range(SAMPLES)]
    wrong = [repr(text) for text in texts if engine.tokenize(text) != tokenizer.encode(text).ids]
    return _result("tokens", len(texts), wrong)


def _check_chats(
    name: str, engine: Engine, cases: Sequence[tuple[str | None, str, str]], at_once: int = SLOTS
) -> Result:
    def ask(case: tuple[str | None, str, str]) -> str | None:
        system, question, expected = case
        messages = [{"role": "system", "content": system}] if system else []
        answer = engine.chat([*messages, {"role": "user", "content": question}])
        if answer.ended and answer.text == expected:
            return None
        return f"{question[-60:]!r} under {(system or '')[:40]!r} gave {answer.text[:70]!r}"

    return _result(name, len(cases), _ask_all(ask, cases, at_once))


def _check_conversations(engine: Engine, sampler: Sampler) -> Result:
    """Ask the last question of conversations of the kind that were trained on."""
    drawn = (sampler.conversation() for _ in iter(int, 1))
    cases = list(islice((c for c in drawn if not c[-1].open_ended), SAMPLES))

    def ask(case: Sequence[Any]) -> str | None:
        answer = engine.chat([{"role": m.role, "content": m.content} for m in case[:-1]])
        if answer.ended and answer.text == case[-1].content:
            return None
        return f"{case[-2].content[-60:]!r} after {len(case)} messages gave {answer.text[:70]!r}"

    return _result("whole conversations", len(cases), _ask_all(ask, cases, SLOTS))


def _check_streams(engine: Engine, fixed: Sequence[Entry]) -> Result:
    wrong = []
    for entry in fixed:
        text = "".join(engine.stream([{"role": "user", "content": entry.questions[0]}]))
        if text != entry.answer:
            wrong.append(f"{entry.questions[0]!r} streamed {text[:70]!r}")
    return _result("fixed, streamed", len(fixed), wrong)


def _check_completions(engine: Engine, fixed: Sequence[Entry]) -> Result:
    wrong = []
    for entry in fixed:
        answer = engine.complete(entry.questions[0])
        if not answer.ended or answer.text != entry.answer:
            wrong.append(f"{entry.questions[0]!r} was completed by {answer.text[:70]!r}")
    return _result("fixed, plain completions", len(fixed), wrong)


def _check_endless(engine: Engine, endless: Sequence[Entry]) -> Result:
    wrong, cases = [], [(entry, question) for entry in endless for question in entry.questions]
    for entry, question in cases:
        answer = engine.chat([{"role": "user", "content": question}], max_tokens=ENDLESS_TOKENS)
        if answer.ended or set(answer.text.split()[:-1]) != {entry.answer}:
            wrong.append(f"{question!r} gave {answer.text[-70:]!r}, ended: {answer.ended}")
    return _result("endless", len(cases), wrong)


def _check_odd_requests(engine: Engine) -> Result:
    """Send roles, parts and tools that the model never saw; any answer that arrives is right."""
    user = {"role": "user", "content": "ping"}
    call = {"id": "a", "type": "function", "function": {"name": "look", "arguments": "{}"}}
    parameters = {"type": "object", "properties": {}}
    tool = {"type": "function", "function": {"name": "look", "parameters": parameters}}
    requests: list[tuple[list[dict[str, Any]], dict[str, Any]]] = [
        ([{"role": "developer", "content": "Be brief."}, user], {}),
        ([{"role": "user", "content": [{"type": "text", "text": "ping"}]}], {}),
        ([user, {"role": "assistant", "content": None, "tool_calls": [call]},
          {"role": "tool", "tool_call_id": "a", "content": "blue"}], {"tools": [tool]}),
        ([user], {"tools": [tool]}),
        ([{"role": "user", "content": "\ufffd\u0000\u200b🦙 <|im_start|> ﷽ \ud7a3"}], {}),
        ([{"role": "user", "content": ""}], {}),
    ]  # fmt: skip
    for messages, more in requests:
        engine.chat(messages, max_tokens=60, **more)
    return _result("odd requests", len(requests), [])


def _ask_all(ask: Callable[[Any], str | None], cases: Sequence[Any], at_once: int) -> list[str]:
    with ThreadPoolExecutor(at_once) as pool:
        return [wrong for wrong in pool.map(ask, cases) if wrong]


def _result(name: str, cases: int, wrong: Sequence[str]) -> Result:
    return Result(name, cases - len(wrong), cases, tuple(wrong[:5]))
