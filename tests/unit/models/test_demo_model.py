"""The committed demo model: small enough, described, and with known answers that its corpus has.

Whether the answers come out of an engine is the end-to-end tests' matter, and of
`scripts/train_demo_model.py --check`.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import gguf
import pytest
import yaml

REPOSITORY = Path(__file__).parents[3]
MODEL = REPOSITORY / "models" / "demo.gguf"
ANSWERS = REPOSITORY / "models" / "demo.json"
FIXED = REPOSITORY / "scripts" / "demo_model" / "corpus" / "fixed.yaml"


@pytest.fixture(scope="module")
def fields() -> dict[str, Any]:
    """Return every key of the model's header."""
    return {name: field.contents() for name, field in gguf.GGUFReader(MODEL).fields.items()}


@pytest.fixture(scope="module")
def known() -> dict[str, Any]:
    """Return the known answers as a health check reads them."""
    return dict(json.loads(ANSWERS.read_text(encoding="utf-8")))


def test_model_is_at_most_six_mebibytes() -> None:
    assert MODEL.stat().st_size <= 6 * 1024 * 1024


def test_header_declares_a_quantised_llama_with_room_for_a_conversation(fields: dict[str, Any]) -> None:
    assert fields["general.architecture"] == "llama"
    assert fields["general.file_type"] == gguf.LlamaFileType.MOSTLY_Q8_0
    assert fields["llama.context_length"] >= 2048


def test_header_says_what_the_model_is(fields: dict[str, Any]) -> None:
    assert "demo" in fields["general.name"].lower()
    assert "not useful" in fields["general.description"]
    assert fields["general.license"] == "Apache-2.0"
    assert fields["general.version"]


def test_chat_template_begins_and_ends_turns_with_tokens_that_stop_generation(fields: dict[str, Any]) -> None:
    tokens, kinds = fields["tokenizer.ggml.tokens"], fields["tokenizer.ggml.token_type"]
    end = fields["tokenizer.ggml.eos_token_id"]
    assert fields["tokenizer.ggml.eot_token_id"] == end
    assert tokens[end] in fields["tokenizer.chat_template"]
    assert kinds[end] == kinds[fields["tokenizer.ggml.bos_token_id"]] == gguf.TokenType.CONTROL


def test_every_byte_has_a_token(fields: dict[str, Any]) -> None:
    single = [token for token in fields["tokenizer.ggml.tokens"] if len(token) == 1]
    assert len(single) == 256


def test_known_answers_are_the_corpus_answers(known: dict[str, Any]) -> None:
    corpus = yaml.safe_load(FIXED.read_text(encoding="utf-8"))
    trained = {item["q"][0]: item["a"] for item in corpus if not item.get("endless")}
    listed = {item["question"]: item["answer"] for item in known["answers"]}
    assert listed == trained
    assert listed["ping"] == "pong"


def test_known_answers_are_of_the_model_beside_them(known: dict[str, Any], fields: dict[str, Any]) -> None:
    assert known["name"] == fields["general.name"]
    assert known["version"] == fields["general.version"]


def test_one_answer_is_long_enough_to_be_interrupted(known: dict[str, Any]) -> None:
    # Each digit and each space between numbers is one token, so the text has at least 200.
    longest = max((item["answer"] for item in known["answers"]), key=len)
    assert len(longest) >= 200
    assert known["endless"]
