"""What a running gateway says when a tool meets a refusal is what the guide explains, in both formats' own words."""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import partial
from typing import Any

import httpx
import pytest

from tests.integration.stack_site import REPOSITORY, Site
from tests.waiting import wait_for

PATHS = {"openai": "/v1/chat/completions", "anthropic": "/v1/messages"}
LIMITS = {"often": ("--rpm", "1"), "poor": ("--budget-tokens", "5/day"), "elsewhere": ("--models", "local-embed")}
each_format = pytest.mark.parametrize("path", PATHS.values(), ids=PATHS)


@pytest.fixture(scope="module")
def keys(stack: Site) -> Iterator[dict[str, str]]:
    """Keys that are refused for what their names say, a good one, and one of nobody."""
    given = {name: stack.run_json("keys", "create", name, *terms)["secret"] for name, terms in LIMITS.items()}
    keys = {**given, "good": stack.keys["GATEWAY_KEY"], "nobody": "sk-nobody"}
    with stack.client() as client:
        for name in LIMITS:
            wait_for(partial(_knows, client, keys[name]), f"the key {name} to be known")
        assert ask(client, PATHS["openai"], keys["often"]).status_code == 200  # its one request of this minute
    yield keys
    for name in LIMITS:
        stack.run("keys", "revoke", name)


def _knows(client: httpx.Client, key: str) -> bool:
    return client.get("/v1/models", headers={"Authorization": f"Bearer {key}"}).status_code == 200


def ask(client: httpx.Client, path: str, key: str, model: str = "local-chat", prompt: str = "ping") -> httpx.Response:
    body: dict[str, Any] = {"model": model, "max_tokens": 1, "messages": [{"role": "user", "content": prompt}]}
    return client.post(path, json=body, headers={"Authorization": f"Bearer {key}"})


def list_explained() -> list[str]:
    """The words that stand in the first column of the guide's rows."""
    text = (REPOSITORY / "docs" / "guides" / "troubleshooting.md").read_text(encoding="utf-8")
    section = text.split("## What tools show")[1].split("\n## ")[0]
    columns = re.findall(r"^\| (.+?) \| ", section, re.MULTILINE)
    return [words for column in columns for words in re.findall("`([^`]+)`", column)]


@each_format
@pytest.mark.parametrize(
    ("status", "asked"),
    [
        (400, {"key": "good", "prompt": "word " * 9000}),
        (404, {"key": "good", "model": "claude-opus-4-8"}),
        (401, {"key": "nobody"}),
        (403, {"key": "elsewhere"}),
        (429, {"key": "often"}),
        (429, {"key": "poor"}),
    ],
    ids=["context", "model", "unknown key", "right", "rate", "budget"],
)
def test_a_refusal_is_explained(
    stack: Site, keys: dict[str, str], path: str, status: int, asked: dict[str, str]
) -> None:
    with stack.client() as client:
        answer = ask(client, path, **{**asked, "key": keys[asked["key"]]})
    assert answer.status_code == status
    error = answer.json()["error"]
    # Anthropic's format has no code: its tools show the message.
    said = error.get("code") or error["message"]
    patterns = [".+".join(map(re.escape, words.split("..."))) for words in list_explained()]
    assert [pattern for pattern in patterns if re.search(pattern, said)], said
