"""Request bodies that nobody means: right ones of each route with something wrong in them. Pure, the same each time."""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Iterator
from typing import Any

from gateway.policy.fields import TABLES
from gateway.policy.tables.field import Treatment

from stackctl.core.drill.asks import PATHS, Ask, ClientFormat

_ODD_TEXTS = ("", "\x00", "\ud800", "\u202e\u2066", "🏳️‍🌈" * 50, "a" * 5000, "data: [DONE]\n\n", "</s>", "%s{}{0}")
_ODD_NUMBERS = (0, -1, 2**31, 2**63, 2**64, -(2**70), 1e308, 5e-324, 0.1, 10**400)


def list_fuzzed(seed: int, count: int) -> Iterator[tuple[str, bytes]]:
    """Path and body of each request, all routes in turn; those that count tokens are routes, too.

    Most fields that are added are the format's own: what is not known is refused before anybody looks at its value.
    """
    chance = random.Random(seed)
    routes = [(path, kind) for kind, path in PATHS.items()]
    routes += [("/v1/messages/count_tokens", "messages"), ("/v1/responses/input_tokens", "responses")]
    for number in range(count):
        path, kind = routes[number % len(routes)]
        yield path, _spoil(chance, kind)


def _spoil(chance: random.Random, kind: ClientFormat) -> bytes:
    body = Ask(kind, chance.random() < 0.4, choose_model(kind)).body
    for _ in range(chance.randint(1, 3)):
        _change(chance, body, kind)
    text = json.dumps(body, ensure_ascii=chance.random() < 0.5).encode("utf-8", "surrogatepass")
    return chance.choice(_DAMAGES)(chance, text) if chance.random() < 0.2 else text


def choose_model(kind: ClientFormat) -> str:
    """The served name that a route's requests ask for."""
    return {"embeddings": "vectors", "rerank": "scores"}.get(kind, "chat")


def _change(chance: random.Random, body: dict[str, Any], kind: ClientFormat) -> None:
    known = [name for name, field in TABLES[kind].fields.items() if field.treatment is Treatment.PASSED]
    name = chance.choice([*body, *known]) if chance.random() < 0.95 else chance.choice(list(TABLES["chat"].fields))
    act = chance.random()
    if act < 0.15:
        body.pop(name, None)
    elif act < 0.6 or not isinstance(body.get(name), dict | list):
        body[name] = _make(chance, 3)
    else:
        _change_inside(chance, body[name])


def _change_inside(chance: random.Random, value: Any) -> None:
    """Put something odd at some place of a list or an object."""
    if isinstance(value, list) and value:
        place = chance.randrange(len(value))
        if isinstance(value[place], dict | list) and chance.random() < 0.7:
            _change_inside(chance, value[place])
        else:
            value[place] = _make(chance, 2)
    elif isinstance(value, dict):
        name = chance.choice([*value, "role", "content", "type", "name", "id", "tool_calls", "tool_call_id"])
        if isinstance(value.get(name), dict | list) and chance.random() < 0.5:
            _change_inside(chance, value[name])
        else:
            value[name] = _make(chance, 2)


def _make(chance: random.Random, depth: int) -> Any:
    """Any JSON value; containers only as deep as is left."""
    makers: list[Callable[[], Any]] = [
        lambda: None,
        lambda: chance.random() < 0.5,
        lambda: chance.choice(_ODD_NUMBERS),
        lambda: chance.choice(_ODD_TEXTS),
        lambda: chance.choice(("user", "tool", "system", "developer", "text", "image_url", "tool_use", "auto", "none")),
    ]
    if depth:
        makers += [
            lambda: [_make(chance, depth - 1) for _ in range(chance.randint(0, 3))],
            lambda: {chance.choice(("type", "role", "content", "text", "x")): _make(chance, depth - 1) for _ in "ab"},
        ]
    return chance.choice(makers)()


_DAMAGES: tuple[Callable[[random.Random, bytes], bytes], ...] = (
    lambda chance, text: text[: chance.randrange(len(text))],
    lambda chance, text: text + b"}",
    lambda chance, text: b"\xef\xbb\xbf" + text,
    lambda chance, text: text.replace(b'"', b"'"),
    lambda chance, text: bytes(chance.randrange(256) for _ in range(64)),
    lambda chance, text: b"[" + text + b"]",
    lambda chance, text: text.replace(b"1", b"NaN"),
    lambda chance, text: chance.choice((b"", b"null", b"0", b'""', b"[]", b"{}", b"\x00")),
)
