"""``stackctl usage`` of a real stack of processes: what was asked is what is reported, running and stopped."""

from __future__ import annotations

import csv
import io
from typing import Any
from xml.etree import ElementTree

import httpx

from tests.integration.conftest import MakeSite
from tests.integration.stack_site import ANSWERS, DEADLINE_S, Site
from tests.waiting import wait_for


def chat(site: Site, key: str, question: str) -> dict[str, Any]:
    """The usage that the answer to a question tells its client."""
    body = {"model": "local-chat", "messages": [{"role": "user", "content": question}]}
    headers = {"Authorization": f"Bearer {key}"}
    answer = httpx.post(f"{site.url}/v1/chat/completions", headers=headers, json=body, timeout=DEADLINE_S)
    answer.raise_for_status()
    told = answer.json()["usage"]
    assert isinstance(told, dict)
    return told


def load_rows(site: Site, by: str, *options: str) -> dict[str, dict[str, Any]]:
    return {row["name"]: row for row in site.run_json("usage", "--by", by, *options)["rows"]}


def test_what_each_key_asked_is_reported_running_and_stopped(make_site: MakeSite) -> None:
    site = make_site("a used site")
    site.run("up")
    anna, ben = (site.run("keys", "create", name).stdout.strip() for name in ("anna", "ben"))
    told = [chat(site, anna, question) for question in [*ANSWERS][:3]]
    chat(site, ben, "ping")
    rows = wait_for(lambda: found if len(found := load_rows(site, "key")) >= 2 and "ben" in found else None, "usage")
    assert (rows["anna"]["requests"], rows["ben"]["requests"], rows["anna"]["failed"]) == (3, 1, 0)
    assert rows["anna"]["prompt_tokens"] == sum(usage["prompt_tokens"] for usage in told)
    assert rows["anna"]["completion_tokens"] == sum(usage["completion_tokens"] for usage in told)
    assert load_rows(site, "model")["local-chat"]["requests"] >= 4
    assert load_rows(site, "key", "--until", "1d") == {}

    picture = site.path / "used.svg"
    table = site.run("usage", "--plot", str(picture)).stdout
    assert table.splitlines()[0].split() == ["key", "requests", "failed", "prompt", "answer", "cached", "took"]
    assert "anna" in picture.read_text(encoding="utf-8")
    assert ElementTree.parse(picture).getroot().tag.endswith("svg")

    before = load_rows(site, "key")
    site.run("down")
    assert load_rows(site, "key") == before
    (day,) = load_rows(site, "day").values()
    assert day["requests"] == sum(row["requests"] for row in before.values())
    providers = csv.DictReader(io.StringIO(site.run("usage", "--by", "provider", "--csv").stdout))
    assert sum(int(row["requests"]) for row in providers) == day["requests"]
