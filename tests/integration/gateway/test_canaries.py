"""Planted texts are found nowhere: in no log, metric, temporary file, core or database, whatever goes wrong.

With debug, with another route's content logging on, over two workers, streamed and whole.
"""

from __future__ import annotations

import json
import os
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.integration.gateway.content_site import ContentSite, run_content_site
from tests.integration.stack_site import REPOSITORY

CANARY = "canary-4c1e-in-"
# What a lane that fails does: it raises with the request, or with the answer, in its text.
CRASHES = """
import gateway.lanes.abilities as abilities, gateway.lanes.sse as sse

find_warning, feed = abilities.find_warning, sse.EventCutter.feed

def crash_before(call, target):
    if "explode-before" in repr(call.body):
        raise RuntimeError(repr(call.body))
    return find_warning(call, target)

def crash_within(self, data):
    if b"explode-within" in data:
        raise RuntimeError(data) from ValueError(data.decode())
    return feed(self, data)

abilities.find_warning, sse.EventCutter.feed = crash_before, crash_within
"""
_SAID = json.dumps({"error": {"message": f"{CANARY}refusal", "type": f"{CANARY}type", "param": f"{CANARY}param"}})
REFUSALS = [(status, _SAID) for status in (400, 401, 404, 413, 422, 429, 500, 503)]
BROKEN = [(200, f"<html>{CANARY}html"), (200, f'{{"choices": "{CANARY}choices"'), (500, f"Traceback {CANARY}trace")]


@pytest.fixture
def site(tmp_path: Path) -> Iterator[ContentSite]:
    """A gateway that says all it ever says, with what breaks it on its path, and folders for all that it writes."""
    for name in ("crashes", "tmp", "state"):
        (tmp_path / name).mkdir()
    (tmp_path / "crashes" / "sitecustomize.py").write_text(CRASHES)
    source = REPOSITORY / "services" / "api-gateway"
    with run_content_site(
        tmp_path / "state", GATEWAY_LOG_LEVEL="debug", GATEWAY_WORKERS="2", TMPDIR=str(tmp_path / "tmp"),
        PYTHONPATH=os.pathsep.join([str(tmp_path / "crashes"), str(source)]),
    ) as found:  # fmt: skip
        found.order("logging.start", models=["logged"])
        found.wait_noted("content logging is on", 2)
        yield found


def list_bodies(text: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """A request of each format with a text in every place that holds one."""
    said = [{"role": "system", "content": text}, {"role": "user", "content": text}]
    tool = {"name": f"tool_{text}"[:60].replace(" ", "_"), "description": text, "parameters": {"type": "object"}}
    for stream in (False, True):
        more = {"model": "quiet", "stream": stream}
        tools = [{"type": "function", "function": tool}]
        yield "/v1/chat/completions", {**more, "messages": said, "tools": tools, "user": text, "stop": [text]}
        yield "/v1/completions", {**more, "prompt": text, "suffix": text}
        user = [{"role": "user", "content": [{"type": "text", "text": text}]}]
        yield "/v1/messages", {**more, "max_tokens": 9, "system": text, "messages": user, "metadata": {"user_id": text}}
        yield "/v1/responses", {**more, "input": text, "instructions": text}
    yield "/v1/embeddings", {"model": "vectors", "input": text}
    yield "/v1/messages/count_tokens", {"model": "quiet", "messages": [{"role": "user", "content": text}]}


def test_what_was_planted_is_found_nowhere(site: ContentSite, tmp_path: Path) -> None:
    site.server.pieces = (f"{CANARY}answer", " and ", CANARY[:6], CANARY[6:])
    site.server.arguments = (f'{{"a": "{CANARY}', 'x"}')
    ask_all(site, f"{CANARY}prompt")
    ask_all(site, f"{CANARY}crash explode-before")
    site.server.pieces = (f"{CANARY}begun", f"{CANARY}explode-within")
    ask_all(site, f"{CANARY}crash of the answer")
    for status, body in (*REFUSALS, *BROKEN):
        site.server.refusal = status, body.encode()
        ask_all(site, f"{CANARY}refused")
    site.server.refusal = None
    ask_wrongly(site)
    assert site.ask("logged", "harmless").status_code >= 200
    site.wait_content(1)
    noted = site.list_noted("request failed")
    assert len(noted) >= 10
    assert all(any("RuntimeError at" in text for text in entry["exception"]) for entry in noted)
    assert {entry["level"] for entry in site.read_log()} >= {"debug", "info", "warning", "error"}
    found = list(search(site, tmp_path))
    assert len(found) > 5
    assert [name for name, data in found if CANARY.encode() in data or b"canary-4c1e" in data] == []


def ask_all(site: ContentSite, text: str) -> None:
    for path, body in list_bodies(text):
        planted = {"x-planted": f"{CANARY}header", "anthropic-beta": f"{CANARY}beta"}
        site.post(path, body, **planted)
        site.post(path, body, **planted, **{"x-provider-key": f"sk-{CANARY}own"})


def ask_wrongly(site: ContentSite) -> None:
    """Requests that are refused before any server is asked, with what was planted where people mistake it."""
    chat = f"{site.gateway.url}/v1/chat/completions"
    keys = {"Authorization": f"Bearer {CANARY}key"}, {"x-api-key": f"sk-{CANARY}key"}, {"Authorization": f"{CANARY}k"}
    for headers in keys:
        httpx.post(chat, headers=headers, json={"model": CANARY}, timeout=60, trust_env=False)
    site.post(f"/v1/{CANARY}path?{CANARY}query", {})
    site.post("/v1/chat/completions", {"model": f"{CANARY}model", "messages": []})
    site.post("/v1/chat/completions", {"model": "quiet", "messages": [], f"{CANARY}field": 1})
    site.post("/v1/chat/completions", {"model": "quiet", "messages": CANARY})
    site.post("/admin", {"do": f"{CANARY}action"})
    admin = {"Authorization": f"Bearer {site.gateway.admin_key}"}
    actions = {"do": f"{CANARY}action"}, {"do": "keys.show", "name": f"{CANARY}key"}, {"do": "logging.start", CANARY: 1}
    for body in actions:
        httpx.post(f"{site.gateway.url}/admin", headers=admin, json=body, timeout=60, trust_env=False)
    httpx.post(chat, headers={"Authorization": f"Bearer {site.gateway.key}"}, content=f'{{"{CANARY}', timeout=60)


def search(site: ContentSite, folder: Path) -> Iterator[tuple[str, bytes]]:
    """Everything that the gateway and its processes wrote, by where it stands; a core would lie in their folder."""
    admin = {"Authorization": f"Bearer {site.gateway.admin_key}"}
    for path in ("/metrics", "/health"):
        yield path, httpx.get(site.gateway.url + path, headers=admin, timeout=60, trust_env=False).content
    for top in (folder / "state", folder / "tmp", site.gateway.log.parent):
        for file in top.rglob("*"):
            if file.is_file() and file.name != "config.yaml":
                yield str(file), file.read_bytes()
    with sqlite3.connect(folder / "state" / "gateway.db") as connection:
        yield "the database's rows", "\n".join(connection.iterdump()).encode()
    connection.close()
