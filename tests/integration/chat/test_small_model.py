"""The chat API in front of a real small model: in both languages, whole, streamed, in a session."""

from __future__ import annotations

import json
from collections.abc import Iterator

import httpx
import pytest

from tests.chat_service import CHAT, run_chat_api
from tests.integration.stack_site import Site
from tests.smollm2 import NAME, find_smollm2


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[httpx.Client]:
    models = find_smollm2()
    site = Site.create(
        tmp_path_factory.mktemp("a small model"),
        MODELS_DIR=str(models),
        CHAT_MODEL=NAME,
        CONTEXT_LENGTH="2048",
        INFERENCE_SLOTS="2",
    )
    try:
        site.run("up")
        folder = tmp_path_factory.mktemp("sessions")
        key = site.keys["GATEWAY_KEY"]
        settings = {"GATEWAY_URL": site.url, "SESSIONS": "disk", "FOLDER": str(folder), "DEFAULT_TEMPERATURE": "0"}
        with run_chat_api(folder, settings) as running, running.client(**{"x-api-key": key}) as client:
            yield client
    finally:
        site.stop()


@pytest.mark.parametrize("question", ["Name the capital of France.", "안녕하세요? 한국어로 인사해 주세요."])
def test_it_writes_the_same_whole_and_streamed(client: httpx.Client, question: str) -> None:
    sent = {"user_message": question, "max_tokens": 48, "system_message": "You are a helpful assistant."}
    whole = client.post(CHAT, json=sent).json()
    events = client.post(CHAT, json=sent, params={"stream": True}).text
    assert whole["success"] is True
    assert len(whole["response_text"].strip()) > 5
    assert 0 < whole["output_tokens"] <= 48
    assert events.count("event: delta") > 5
    assert json.loads(events.rpartition("data: ")[2])["response_text"] == whole["response_text"]


def test_its_sessions_grow_and_long_histories_fit(client: httpx.Client) -> None:
    turn = {"system_message": "Answer in one short sentence.", "session_id": "names", "max_tokens": 32}
    first = client.post(CHAT, json={**turn, "user_message": "My name is Ada."}).json()
    second = client.post(CHAT, json={**turn, "user_message": "What is my name?"}).json()
    assert second["input_tokens"] > first["input_tokens"] + first["output_tokens"]
    history = [f"{role}: {'A long story about ships. ' * 20}" for _ in range(20) for role in ("user", "assistant")]
    fitted = client.post(CHAT, json={"user_message": "Hello", "conversation_history": history, "max_tokens": 32}).json()
    assert 1000 < fitted["input_tokens"] <= 2048 - 32
