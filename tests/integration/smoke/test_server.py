"""A server of OpenAI's format that somebody runs (LM Studio, this stack, OpenAI) answers; only where that is asked for.

export MYCODER_LMSTUDIO_SMOKE=1 MYCODER_OPENAI_BASE_URL=http://localhost:1234/v1
make test TESTS=tests/integration/smoke
"""

from __future__ import annotations

import os

import pytest

from tests.integration.smoke.server import MODEL, ask, find_reason, list_models

REASON = find_reason(os.environ)
asks_server = pytest.mark.skipif(bool(REASON), reason=REASON)


@asks_server
def test_the_server_lists_its_models_within_three_seconds() -> None:
    assert list_models(os.environ)


@asks_server
@pytest.mark.skipif(not os.environ.get(MODEL), reason=f"chats only where {MODEL} is exported")
def test_the_named_model_answers_a_short_question() -> None:
    assert ask(os.environ)
