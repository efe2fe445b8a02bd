"""From a request that has ended to its row in the table of usage. Pure.

Tokens are those that the servers counted, of all tries together. Where an answer ended before its server had counted
it, or the server counts nothing, they are estimated, and the row says so.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import orjson

from gateway.state.usage import CLIENT_LEFT, OK, UsageRow

# The provider of a request that was answered from the cache: nobody was asked.
CACHE = "(cache)"
# What a prompt consists of, in the words of all formats.
_PROMPT = ("messages", "system", "prompt", "suffix", "input", "instructions", "tools", "query", "documents")
# Of English text and code; Korean has fewer.
_BYTES_PER_TOKEN = 4
# Pictures and sounds in a prompt, whose bytes say nothing of their tokens.
_MEDIA = frozenset({"image_url", "input_audio", "data", "file_data"})
# More is no count of tokens; the sum of a billion such counts still fits SQLite's integers.
_MAX_COUNT = 10**9


@dataclass(slots=True)
class Record:
    """One request that has ended; times in seconds, ``ended_at`` since 1970.

    Attributes:
        body: the request's fields, until its prompt is hashed; None where it was refused before they were read.
        format: the client's.
        model: the route's served name; empty where none was found.
        provider: the one that was asked last; ``CACHE`` where the answer was a kept one, empty where none was.
        tried: names of targets and codes of outcomes.
        outcome: ``ok``, or the code of the error.
        counted: what the servers counted, for each try.
        pieces: events with which the answer came.
    """

    ended_at: float
    request: str
    key: str
    model: str
    format: str
    provider: str
    target: str
    tried: tuple[tuple[str, str], ...]
    status: int
    outcome: str
    counted: tuple[Mapping[str, Any], ...]
    pieces: int
    queue_s: float
    first_s: float | None
    duration_s: float
    body: Mapping[str, Any] | None = None


def build_row(record: Record, salt: bytes | None) -> UsageRow:
    """The row; without ``salt`` it has no hash, as one whose prompt is nested too deeply to be read again."""
    try:
        return _build(record, salt)
    except (TypeError, RecursionError):
        record.body = None
        return _build(record, salt)


def _build(record: Record, salt: bytes | None) -> UsageRow:
    prompt, completion, is_estimate = count_taken(record)
    return UsageRow(
        ended_at=record.ended_at,
        request=record.request,
        key=record.key,
        model=record.model,
        format=record.format,
        provider=record.provider,
        target=record.target,
        tried=orjson.dumps([{"target": name, "outcome": code} for name, code in record.tried]).decode(),
        status=record.status,
        outcome=record.outcome,
        prompt_tokens=prompt,
        completion_tokens=completion,
        cached_tokens=_add_up(map(_find_cached, record.counted)),
        is_estimate=int(is_estimate),
        queue_s=record.queue_s,
        first_s=record.first_s,
        duration_s=record.duration_s,
        prompt_hash=_hash_prompt(record.body, salt) if record.body and salt else None,
    )


def count_taken(record: Record) -> tuple[int, int, bool]:
    """Tokens of prompt and answer, and whether they are estimated."""
    prompt = _add_up(usage.get("prompt_tokens") for usage in record.counted) or 0
    completion = _add_up(usage.get("completion_tokens") for usage in record.counted) or 0
    was_computed = record.provider not in ("", CACHE) and (record.status == 200 or record.outcome == CLIENT_LEFT)
    if not was_computed or record.format.endswith("_count"):
        return prompt, completion, False
    # A server that began to count says one token for an answer of hundreds that was cut.
    is_cut = record.outcome != OK and record.pieces > completion
    lacks_prompt = prompt == 0 and record.body is not None
    if lacks_prompt and record.body:
        prompt = estimate_prompt(record.body)
    if is_cut or (lacks_prompt and completion == 0):
        completion = record.pieces
    return prompt, completion, is_cut or lacks_prompt


def estimate_prompt(body: Mapping[str, Any]) -> int:
    """About how many tokens the prompt of a request has; pictures and sounds are left out."""
    return sum(map(_measure, (body.get(name) for name in _PROMPT))) // _BYTES_PER_TOKEN


def _measure(value: Any) -> int:
    """Bytes of all texts within a value."""
    if isinstance(value, str):
        return len(value.encode())
    if isinstance(value, dict):
        return sum(len(name) + _measure(item) for name, item in value.items() if name not in _MEDIA)
    return sum(map(_measure, value)) if isinstance(value, list) else _BYTES_PER_TOKEN * isinstance(value, int)


def _hash_prompt(body: Mapping[str, Any], salt: bytes) -> bytes:
    """The salt and the prompt's fields as JSON with sorted names: equal prompts are known again in this database."""
    prompt = {name: body[name] for name in _PROMPT if name in body}
    digest = hashlib.sha256(salt)
    digest.update(orjson.dumps(prompt, option=orjson.OPT_SORT_KEYS))
    return digest.digest()


def _find_cached(usage: Mapping[str, Any]) -> Any:
    details = usage.get("prompt_tokens_details")
    return details.get("cached_tokens") if isinstance(details, dict) else None


def is_count(value: Any) -> bool:
    """Whether what a server sent as a count of tokens is one."""
    return type(value) is int and 0 <= value < _MAX_COUNT


def _add_up(counts: Iterable[Any]) -> int | None:
    """The sum of what are counts; a server may send anything. None where none is one."""
    known = [count for count in counts if is_count(count)]
    return sum(known) if known else None
