"""Content logging by the real gateway: for one route, for a time, masked, to a file of its own, on every worker."""

from __future__ import annotations

import json
import os
import sqlite3
import stat
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.integration.gateway.content_site import ContentSite, run_content_site
from tests.processes import list_descendants
from tests.waiting import wait_for

KEY = "sk-Abcdefgh-0123456789"


@pytest.fixture(scope="module")
def quiet_site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ContentSite]:
    with run_content_site(tmp_path_factory.mktemp("state")) as site:
        yield site


def test_one_route_is_logged_masked_until_it_is_stopped(tmp_path: Path) -> None:
    with run_content_site(tmp_path, {"employee": r"EMP-\d{6}"}) as site:
        assert site.order("logging.show") == {"logging": []}
        site.ask("logged", "before")
        found = site.order("logging.start", models=["logged"], minutes=5)["logging"]
        assert [(item["model"], item["source"], round(item["ends_at"] - item["started_at"])) for item in found] == [
            ("logged", "operator", 300)
        ]
        (on,) = site.wait_noted("content logging is on")
        assert (on["level"], on["model"], on["file"]) == ("warning", "logged", str(tmp_path / "content.jsonl"))
        site.server.pieces = ("your key is s", "k-Abcd", "efgh-01234", "56789", ", EMP-12", "3456")
        assert site.ask("quiet", "quiet").status_code == 200
        assert site.ask("logged", f"my key is {KEY}, kim@example.com").status_code == 200
        assert site.ask("logged", "010-1234-5678", stream=True, user="900101-1234568").status_code == 200
        site.ask("logged", f"the gateway's own: {site.gateway.key}, and the provider's: key-of-the-provider-7f31")
        whole, streamed, own = site.wait_content(3)
        assert whole["asked"]["messages"] == [{"role": "user", "content": "my key is [key], [e-mail]"}]
        assert whole["answered"]["choices"][0]["message"]["content"] == "your key is [key], [employee]"
        assert streamed["asked"]["messages"][0]["content"] == "[phone]"
        assert streamed["asked"]["user"] == "[resident number]"
        assert streamed["answered"]["choices.0.delta.content"] == "your key is [key], [employee]"
        assert own["asked"]["messages"][0]["content"] == "the gateway's own: [key], and the provider's: [key]"
        expected = {
            "key": "client",
            "model": "logged",
            "status": 200,
            "method": "POST",
            "endpoint": "/v1/chat/completions",
        }
        assert whole.items() >= expected.items()
        assert stat.S_IMODE((tmp_path / "content.jsonl").stat().st_mode) == 0o600
        assert site.order("logging.stop", models=["logged"]) == {"logging": []}
        site.wait_noted("content logging is off")
        site.ask("logged", "after")
        assert len(site.read_content()) == 3
        assert site.list_noted("content not written") == []
        assert "my key" not in site.gateway.log.read_text()


def test_tools_are_masked_over_the_pieces_of_their_arguments(tmp_path: Path) -> None:
    with run_content_site(tmp_path) as site:
        start(site)
        site.server.pieces, site.server.arguments = (), ('{"to": "kim@ex', "ample.co", 'm", "note": "hi"}')
        tool = {"type": "function", "function": {"name": "send", "parameters": {"type": "object"}}}
        assert site.ask("logged", "send it", tools=[tool]).status_code == 200
        assert site.ask("logged", "send it", tools=[tool], stream=True).status_code == 200
        assert "ex" in site.post("/v1/messages", anthropic("send it", stream=True)).text
        for line in site.wait_content(3):
            text = json.dumps(line["answered"])
            assert "[e-mail]" in text
            assert "kim@" not in text
            assert "ample.co" not in text


def test_every_format_is_logged(tmp_path: Path) -> None:
    with run_content_site(tmp_path) as site:
        start(site, "*")
        site.server.pieces = ("it is s", "k-Abcdefgh-012", "3456789 indeed")
        for stream in (False, True):
            site.ask("logged", KEY, stream=stream)
            site.post("/v1/completions", {"model": "logged", "prompt": KEY, "stream": stream})
            site.post("/v1/messages", anthropic(KEY, stream))
            site.post("/v1/responses", {"model": "logged", "input": KEY, "stream": stream})
        site.post("/v1/embeddings", {"model": "vectors", "input": KEY})
        lines = site.wait_content(9)
        assert [line["status"] for line in lines] == [200] * 9
        text = json.dumps(lines)
        assert text.count("it is [key] indeed") >= 8
        assert text.count('"[key]"') >= 9
        assert "32 numbers left out" in text
        for part in (KEY, "Abcdefgh", "3456789"):
            assert part not in text


def test_it_ends_although_the_gateway_was_down(tmp_path: Path) -> None:
    with run_content_site(tmp_path) as site:
        start(site)
    with sqlite3.connect(tmp_path / "gateway.db") as connection:
        connection.execute("UPDATE content_logging SET started_at = started_at - 7200, ends_at = ends_at - 7200")
    connection.close()
    with run_content_site(tmp_path) as site:
        assert site.order("logging.show") == {"logging": []}
        assert site.ask("logged", "late").status_code == 200
        assert site.read_content() == []
        assert site.list_noted("content logging is on") == []


def test_it_goes_on_after_a_restart_within_its_time(tmp_path: Path) -> None:
    with run_content_site(tmp_path) as site:
        start(site)
    with run_content_site(tmp_path) as site:
        site.ask("logged", "again")
        assert site.wait_content(1)[0]["asked"]["messages"][0]["content"] == "again"


def test_its_end_comes_while_the_gateway_runs(tmp_path: Path) -> None:
    with run_content_site(tmp_path) as site:
        start(site)
        with sqlite3.connect(tmp_path / "gateway.db", timeout=30) as connection:
            connection.execute("UPDATE content_logging SET ends_at = ?", (time.time() + 0.5,))
        connection.close()
        site.wait_noted("content logging is off")
        site.ask("logged", "late")
        assert site.order("logging.show") == {"logging": []}
        assert site.read_content() == []


def test_every_worker_logs_and_stops(tmp_path: Path) -> None:
    with run_content_site(tmp_path, GATEWAY_WORKERS="3") as site:
        site.order("logging.start", models=["logged"], minutes=5)
        site.wait_noted("content logging is on", 3)
        for number in range(30):
            site.ask("logged", f"number {number}")
        lines = site.wait_content(30)
        assert {line["asked"]["messages"][0]["content"] for line in lines} == {
            f"number {number}" for number in range(30)
        }
        site.order("logging.stop")
        site.wait_noted("content logging is off", 3)
        for _ in range(10):
            site.ask("logged", "after")
        assert len(site.read_content()) == 30


def test_the_setting_logs_all_routes_for_an_hour_and_says_so(tmp_path: Path) -> None:
    with run_content_site(tmp_path, GATEWAY_LOG_PROMPTS="true") as site:
        (found,) = site.order("logging.show")["logging"]
        assert (found["model"], found["source"]) == ("*", "GATEWAY_LOG_PROMPTS")
        assert round(found["ends_at"] - found["started_at"]) == 3600
        said = [entry["message"] for entry in site.read_log() if "GATEWAY_LOG_PROMPTS" in entry.get("message", "")]
        assert len(said) == 1
        assert "for one hour" in said[0]
        site.ask("quiet", "canary-in-a-prompt")
        assert site.wait_content(1)[0]["model"] == "quiet"
        assert "canary-in-a-prompt" not in site.gateway.log.read_text()
    with run_content_site(tmp_path) as site:  # the setting was taken back
        assert site.order("logging.show") == {"logging": []}


def test_without_a_database_the_setting_has_no_effect_and_says_so() -> None:
    with run_content_site(None, GATEWAY_LOG_PROMPTS="true") as site:
        assert site.ask("logged", "canary-in-a-prompt").status_code == 200
        assert any("has no effect" in entry.get("message", "") for entry in site.read_log())
        answer = httpx.post(
            f"{site.gateway.url}/admin", json={"do": "logging.start", "models": ["logged"]},
            headers={"Authorization": f"Bearer {site.gateway.admin_key}"}, trust_env=False,
        )  # fmt: skip
        assert (answer.status_code, answer.json()["error"]["code"]) == (503, "state_unavailable")
        assert "canary-in-a-prompt" not in site.gateway.log.read_text()


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({}, "models"),
        ({"models": []}, "models"),
        ({"models": "logged"}, "models"),
        ({"models": ["a\nb"]}, "models"),
        ({"models": ["logged"], "minutes": 0}, "minutes"),
        ({"models": ["logged"], "minutes": 1441}, "minutes"),
        ({"models": ["logged"], "minutes": "60"}, "minutes"),
        ({"models": ["logged"], "hours": 1}, "hours"),
    ],
)
def test_what_is_wrong_is_refused(quiet_site: ContentSite, fields: dict[str, object], param: str) -> None:
    answer = httpx.post(
        f"{quiet_site.gateway.url}/admin", json={"do": "logging.start", **fields},
        headers={"Authorization": f"Bearer {quiet_site.gateway.admin_key}"}, trust_env=False,
    )  # fmt: skip
    assert (answer.status_code, answer.json()["error"]["param"]) == (400, param)
    assert quiet_site.order("logging.show") == {"logging": []}


def test_a_pattern_that_never_ends_withholds_its_request_and_holds_up_none(tmp_path: Path) -> None:
    with run_content_site(tmp_path, {"endless": "(a+)+$"}) as site:
        start(site)
        assert site.ask("logged", "a" * 60 + "!").status_code == 200
        assert site.ask("logged", "short").status_code == 200  # while the first is still looked at
        withheld, short = site.wait_content(2)
        assert withheld["asked"].startswith("[withheld")
        assert short["asked"]["messages"][0]["content"] == "short"
        assert site.wait_noted("content not written")[0]["result"] == "withheld"


def test_a_writer_that_is_killed_is_started_again(tmp_path: Path) -> None:
    with run_content_site(tmp_path) as site:
        start(site)
        site.ask("logged", "one")
        site.wait_content(1)
        (writer,) = [pid for pid in list_descendants(site.gateway.pid) if "content_writer" in read_command(pid)]
        variables = Path(f"/proc/{writer}/environ").read_text()
        assert site.gateway.key not in variables + read_command(writer)
        os.kill(writer, 9)
        wait_for(lambda: "content_writer" not in read_command(writer), "its end")
        site.ask("logged", "two")
        site.ask("logged", "three")
        assert site.wait_content(2)[-1]["asked"]["messages"][0]["content"] == "three"
    wait_for(lambda: not list_descendants(site.gateway.pid), "the end of all")


def test_what_was_said_last_is_written_before_the_gateway_ends(tmp_path: Path) -> None:
    with run_content_site(tmp_path) as site:
        start(site)
        site.ask("logged", "last")
    assert site.read_content()[-1]["asked"]["messages"][0]["content"] == "last"


def start(site: ContentSite, model: str = "logged") -> None:
    site.order("logging.start", models=[model])
    site.wait_noted("content logging is on")


def anthropic(text: str, stream: bool) -> dict[str, object]:
    return {"model": "logged", "max_tokens": 64, "messages": [{"role": "user", "content": text}], "stream": stream}


def read_command(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/cmdline").read_text()
    except OSError:
        return ""
