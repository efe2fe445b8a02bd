"""Models, and what services answer for them."""

from __future__ import annotations

import json
from dataclasses import replace

from stackctl.core.models.served import ServedModel
from stackctl.core.settings.stackfile import Mode
from stackctl.core.stack.runtime import Answer
from stackctl.operations.site.load import load_site
from tests.fakes import World

REFUSED = Answer(0, error="Connection refused")
LOADING = Answer(503, '{"error": {"message": "Loading model"}}')


def build_model(mode: Mode = "chat", *, is_demo: bool = False) -> ServedModel:
    """A model of 2048 tokens and 4 slots, from `m.gguf`."""
    model = load_site(World().effects).process.models[0]
    return replace(model, mode=mode, is_demo=is_demo, shards=("/models/m.gguf",))


CHAT, DEMO = build_model(), build_model(is_demo=True)


def answer(body: object, status: int = 200) -> Answer:
    return Answer(status, json.dumps(body), elapsed_s=2.0)
