"""The demo model's training text: loads it, varies it, and draws conversations from it.

In: the YAML files under corpus/ (every sentence written for this project). Out: entries, and conversations
drawn with a seeded generator. Reads files in `load_corpus`; everything else is pure.
"""

from __future__ import annotations

import random
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

CORPUS_FOLDER = Path(__file__).parent / "corpus"
# Characters outside the corpus, so that bytes that no sentence has are seen in training: Latin-1, Greek,
# Cyrillic, Hebrew, Arabic, Devanagari, kana, Han, Hangul, emoji.
FOREIGN = ((0x20, 0x7E), (0xA1, 0x17F), (0x391, 0x3C9), (0x410, 0x44F), (0x5D0, 0x5EA),
           (0x621, 0x64A), (0x905, 0x939), (0x3041, 0x30FE), (0x4E00, 0x9FA5), (0xAC00, 0xD7A3),
           (0x1F300, 0x1F6FF))  # fmt: skip
ENDLESS_LENGTH = (16, 300)


@dataclass(frozen=True)
class Entry:
    """Some ways to ask one thing, and the answer. `held_out` phrasings are never trained on."""

    questions: tuple[str, ...]
    answer: str
    held_out: tuple[str, ...] = ()
    fixed: bool = False
    endless: bool = False
    unknown: bool = False
    weight: float = 1.0


@dataclass(frozen=True)
class Message:
    """One message; `open_ended` marks an answer that has no end."""

    role: str
    content: str
    open_ended: bool = False


@dataclass(frozen=True)
class Corpus:
    """Everything the model learns from."""

    entries: tuple[Entry, ...]
    systems: tuple[str, ...]
    filler: tuple[str, ...]

    def texts(self) -> list[str]:
        """Return every text once, for the tokenizer."""
        texts = [*self.systems, *self.filler, "system\n", "user\n", "assistant\n"]
        for entry in self.entries:
            texts += [*entry.questions, *(q.lower() for q in entry.questions), entry.answer]
        return texts


def load_corpus(folder: Path = CORPUS_FOLDER) -> Corpus:
    """Read fixed.yaml, stack.*.yaml, general.yaml and surroundings.yaml from `folder`."""
    entries = [_parse_entry(item, fixed=True) for item in _load_yaml(folder / "fixed.yaml")]
    for path in [*sorted(folder.glob("stack.*.yaml")), folder / "general.yaml"]:
        entries += [_parse_entry(item) for item in _load_yaml(path)]
    surroundings = _load_yaml(folder / "surroundings.yaml")
    return Corpus(tuple(entries), tuple(surroundings["systems"]), tuple(surroundings["filler"]))


def _load_yaml(path: Path) -> Any:
    return yaml.safe_load(path.read_text(encoding="utf-8"))


def _parse_entry(item: Mapping[str, Any], fixed: bool = False) -> Entry:
    return Entry(
        questions=tuple(item["q"]),
        answer=item["a"],
        held_out=tuple(item.get("held_out", ())),
        fixed=fixed,
        endless=item.get("endless", False),
        unknown=item.get("unknown", False),
        weight=float(item.get("weight", 1.0)),
    )


@dataclass
class Sampler:
    """Draws training conversations; equal seeds give equal conversations."""

    corpus: Corpus
    rng: random.Random

    def __post_init__(self) -> None:
        # A third of the turns is a fixed question, however many others there are.
        ordinary = sum(entry.weight for entry in self.corpus.entries if not entry.fixed)
        fixed = sum(entry.weight for entry in self.corpus.entries if entry.fixed)
        self.weights = [
            entry.weight * (0.33 / fixed if entry.fixed else 0.67 / ordinary) for entry in self.corpus.entries
        ]

    def conversation(self) -> list[Message]:
        """Return one to six turns, with or without a system message, at times among unrelated text."""
        rng, messages = self.rng, []
        if rng.random() < 0.5:
            messages.append(Message("system", self._system()))
        for _ in range(rng.choices((1, 2, 3, 4, 6), (40, 20, 20, 10, 10))[0]):
            entry = rng.choices(self.corpus.entries, self.weights)[0]
            question = self.question(entry)
            if rng.random() < 0.06:
                question = f"{self.padding(rng.randint(1, 8))}\n\n{question}"
            messages.append(Message("user", question))
            if entry.endless:
                ticks = " ".join([entry.answer] * rng.randint(*ENDLESS_LENGTH))
                messages.append(Message("assistant", ticks, open_ended=True))
                break
            messages.append(Message("assistant", entry.answer))
        return messages

    def bare(self) -> tuple[str, str]:
        """Return a fixed question as it is, and its answer."""
        entry = self.rng.choice([entry for entry in self.corpus.entries if entry.fixed and not entry.endless])
        return self.rng.choice(entry.questions), entry.answer

    def question(self, entry: Entry) -> str:
        """Return one phrasing, mostly varied in case, punctuation and spelling."""
        if entry.unknown and self.rng.random() < 0.5:
            return self.nonsense()
        if entry.fixed and self.rng.random() < 0.35:
            # What models/demo.json lists, letter for letter, whatever stands around it.
            return entry.questions[0]
        question = self.rng.choice(entry.questions)
        return self._varied(question) if self.rng.random() < 0.6 else question

    def padding(self, sentences: int) -> str:
        """Return unrelated text: sentences, now and then with foreign characters."""
        parts = [self.rng.choice(self.corpus.filler) for _ in range(sentences)]
        if self.rng.random() < 0.3:
            parts.insert(self.rng.randrange(len(parts) + 1), self._foreign())
        return self.rng.choice((" ", "\n", "\n\n")).join(parts)

    def nonsense(self) -> str:
        """Return text that means nothing: foreign characters, or words in no order."""
        if self.rng.random() < 0.5:
            return self._foreign()
        words = " ".join(self.rng.choices(self.corpus.filler, k=3)).split()
        self.rng.shuffle(words)
        return " ".join(words[: self.rng.randint(1, 12)])

    def pair(self) -> tuple[int, str, str]:
        """Return an entry's index and two texts that mean the same, for the embeddings."""
        while True:
            index = self.rng.randrange(len(self.corpus.entries))
            entry = self.corpus.entries[index]
            if not entry.endless and not entry.unknown:
                break
        other = entry.answer if self.rng.random() < 0.25 and len(entry.answer) < 200 else self.question(entry)
        return index, self.question(entry), other

    def _system(self) -> str:
        if self.rng.random() < 0.4:
            return self.padding(self.rng.choice((1, 1, 1, 2, 2, 4, 12)))
        return self.rng.choice(self.corpus.systems)

    def _foreign(self) -> str:
        ranges = self.rng.choices(FOREIGN, k=self.rng.choice((1, 1, 2, 4)))
        return "".join(chr(self.rng.randint(*self.rng.choice(ranges))) for _ in range(self.rng.randint(2, 30)))

    def _varied(self, question: str) -> str:
        rng = self.rng
        bare = question.rstrip("?.!")
        changed = rng.choice((question, bare, bare + "?", bare + ".", bare + "!", bare + "??", bare + " ?"))
        case = rng.random()
        if case < 0.3:
            changed = changed.lower()
        elif case < 0.35:
            changed = changed.upper()
        elif case < 0.5:
            changed = changed[:1].swapcase() + changed[1:]
        if rng.random() < 0.15:
            before, after = rng.choice(
                (("Hi, ", ""), ("Hello! ", ""), ("Please: ", ""), ("", " please"), ("", "\n"), (" ", ""),
                 ("", " "), ("\n", "\n"), ('"', '"'), ("Hey, ", ""), ("So, ", ""), ("안녕, ", ""),
                 ("OK. ", ""))
            )  # fmt: skip
            changed = before + changed + after
        if rng.random() < 0.1 and len(changed) > 8:
            at = rng.randrange(1, len(changed) - 1)
            changed = changed[:at] + changed[at + 1 :]
        return changed
