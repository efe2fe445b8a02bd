"""What happens when a model does not answer as it should: a stand-in for its server behind a real gateway."""

from __future__ import annotations

import json
import socket
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path

import httpx
import pytest

from tests.integration.agents.service import ANALYSIS, GOOD_ANALYSIS, PROBLEM, Agents, Upstream, run_agents
from tests.waiting import wait_for

MENDABLE = "Sure!\n```json\n" + json.dumps(GOOD_ANALYSIS)[:-1] + ",}\n```"
CANARY = "planted-5b0c"
PLACES = 2


def test_an_answer_that_is_almost_right_is_mended(scripted: Agents, upstream: Upstream) -> None:
    upstream.answer(MENDABLE)

    answer = scripted.ask(ANALYSIS, PROBLEM).json()

    assert answer["result"] == GOOD_ANALYSIS
    assert (answer["call"]["attempts"], answer["call"]["is_mended"]) == (1, True)


def test_a_wrong_answer_is_asked_for_again_in_the_words_of_our_templates(scripted: Agents, upstream: Upstream) -> None:
    upstream.answer({**GOOD_ANALYSIS, "kind": "magic", "more": 1}, "<system>nonsense</system>", GOOD_ANALYSIS)

    answer = scripted.ask(ANALYSIS, {**PROBLEM, "language": "ko"}).json()

    assert answer["result"] == GOOD_ANALYSIS
    call = answer["call"]
    assert (call["attempts"], call["prompt_tokens"], call["completion_tokens"]) == (3, 21, 15)
    first, second, third = (asked["messages"] for asked in upstream.asked)
    assert [message["role"] for message in third] == ["system", "user", "assistant", "user"]
    assert first == second[:2] == third[:2]
    again = second[-1]["content"]
    assert again.startswith("그 답은 쓸 수 없습니다.\n- ")
    assert '"kind"' in again
    assert '"more"' in again
    # pydantic-ai's own words stay where they are.
    assert "pyai" not in json.dumps(upstream.asked)
    assert "automated feedback" not in json.dumps(upstream.asked)


def test_after_the_last_attempt_the_caller_gets_the_raw_answer_and_the_log_does_not(
    scripted: Agents, upstream: Upstream
) -> None:
    upstream.answer(f"no, {CANARY}")

    refused = scripted.ask(ANALYSIS, PROBLEM)

    assert (refused.status_code, refused.headers["content-type"]) == (502, "application/problem+json")
    problem = refused.json()
    assert (problem["code"], problem["attempts"], problem["raw_answer"]) == ("answer_invalid", 3, f"no, {CANARY}")
    assert problem["faults"] == [{"where": "", "code": "no_object", "expected": ""}]
    assert (problem["prompt_tokens"], problem["completion_tokens"]) == (21, 15)
    assert len(upstream.asked) == 3
    assert CANARY not in scripted.read_log()
    assert CANARY not in scripted.get("/metrics").text


def test_what_was_cut_off_is_not_mended(scripted: Agents, upstream: Upstream) -> None:
    upstream.answer(json.dumps(GOOD_ANALYSIS)[:-20], finish="length")

    problem = scripted.ask(ANALYSIS, PROBLEM).json()

    assert (problem["code"], problem["faults"][0]["code"]) == ("answer_invalid", "cut_off")


@pytest.mark.parametrize(
    "text", ["", '{"title": "\\ud83d"}', "{" * 5000, '{"a":' * 3000, "x" * 100_000, '["]",' * 6000], ids=range(6)
)
def test_a_hostile_answer_is_a_failure_and_no_fault(scripted: Agents, upstream: Upstream, text: str) -> None:
    upstream.answer(text)

    assert scripted.ask(ANALYSIS, PROBLEM).json()["code"] == "answer_invalid"


def test_a_server_that_takes_no_schema_is_asked_without_one(scripted: Agents, upstream: Upstream) -> None:
    upstream.answer(GOOD_ANALYSIS, takes_schema=False)

    # A name of its own: what is learnt of a model is remembered.
    calls = [scripted.ask(ANALYSIS, {**PROBLEM, "model": "internal-chat"}).json()["call"] for _ in range(2)]

    assert [(call["is_constrained"], call["attempts"]) for call in calls] == [(False, 1), (False, 1)]
    assert ["response_format" in asked for asked in upstream.asked] == [True, False, False]


def test_a_caller_without_a_key_is_served_where_the_operator_says_so(scripted: Agents, upstream: Upstream) -> None:
    upstream.answer(GOOD_ANALYSIS)

    assert scripted.ask(ANALYSIS, PROBLEM, key="").status_code == 200
    assert scripted.ask(ANALYSIS, PROBLEM, key="sk-wrong").json()["code"] == "key_refused"


def test_a_wrong_key_of_the_agents_is_not_said_to_be_the_callers(upstream: Upstream, tmp_path: Path) -> None:
    with run_agents(tmp_path, upstream.gateway.url, "", OPEN="on", GATEWAY_KEY="sk-wrong") as agents:
        refused = agents.ask(ANALYSIS, PROBLEM)

    assert (refused.status_code, refused.json()["code"]) == (503, "service_key_refused")
    assert "www-authenticate" not in refused.headers


def test_a_caller_who_leaves_ends_the_work_and_frees_the_place(scripted: Agents, upstream: Upstream) -> None:
    upstream.answer(GOOD_ANALYSIS)
    upstream.go.clear()
    with ThreadPoolExecutor(PLACES) as pool:
        leaving = [pool.submit(leave, scripted, upstream) for _ in range(PLACES)]
        wait_for(lambda: f"under_way {PLACES}.0" in scripted.get("/metrics").text, "every place taken")
        refused = scripted.ask(ANALYSIS, PROBLEM)
        made_up = scripted.ask(ANALYSIS, PROBLEM, key="sk-wrong")
        for _ in range(PLACES):
            assert upstream.waits.acquire(timeout=60)
        upstream.leave.set()
        for call in leaving:
            call.result()

    assert (refused.status_code, refused.json()["code"], refused.headers["retry-after"]) == (503, "busy", "2")
    assert made_up.json()["code"] == "key_refused"  # no place is looked for on its behalf
    assert upstream.left.wait(60)  # the whole way is given up: the model's server sees it, too
    wait_for(lambda: "under_way 0.0" in scripted.get("/metrics").text, "the places to be free again")
    upstream.go.set()
    assert scripted.ask(ANALYSIS, PROBLEM).status_code == 200


def test_how_far_a_call_is_can_be_asked_by_who_began_it_while_it_lasts(scripted: Agents, upstream: Upstream) -> None:
    def ask(request_id: str, key: str = scripted.key) -> httpx.Response:
        return httpx.get(f"{scripted.url}/v1/calls/{request_id}", headers={"authorization": f"Bearer {key}"})

    upstream.answer("no", most=1)
    with ThreadPoolExecutor(1) as pool:
        leaving = pool.submit(leave, scripted, upstream, "one-call")
        wait_for(lambda: ask("one-call").json().get("attempts") == 1, "the second attempt")
        asked = ask("one-call").json()
        others = [ask("another-call"), ask("one-call", key="sk-wrong")]
        upstream.leave.set()
        leaving.result()

    assert asked.pop("time_s") > 0
    assert asked == {
        "agent": "analysis",
        "model": "local-chat",
        "attempts": 1,
        "max_attempts": 3,
        "prompt_tokens": 7,
        "completion_tokens": 5,
    }
    assert [(other.status_code, other.json()["code"]) for other in others] == [(404, "not_found")] * 2
    wait_for(lambda: ask("one-call").status_code == 404, "the call's end")


def leave(agents: Agents, upstream: Upstream, request_id: str = "") -> None:
    """Ask, and hang up as soon as the test says so."""
    body = json.dumps(PROBLEM).encode()
    address = httpx.URL(agents.url)
    with socket.create_connection((address.host, address.port or 0)) as connection:
        head = f"POST {ANALYSIS} HTTP/1.1\r\nhost: localhost\r\nauthorization: Bearer {agents.key}\r\n"
        head += f"x-request-id: {request_id}\r\n" if request_id else ""
        head += f"content-type: application/json\r\ncontent-length: {len(body)}\r\n\r\n"
        connection.sendall(head.encode() + body)
        assert upstream.leave.wait(120)


def test_bodies_that_never_end_are_bounded_together(scripted: Agents, upstream: Upstream) -> None:
    upstream.answer(GOOD_ANALYSIS)
    large = {"problem": "x" * (1 << 17)}
    host, port = scripted.url.removeprefix("http://").split(":")
    head = "POST / HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: 1048576\r\n\r\n"
    with ExitStack() as stack:
        for _ in range(16):
            stack.enter_context(socket.create_connection((host, int(port)))).sendall(head.encode() + b" ")
        wait_for(lambda: scripted.ask(ANALYSIS, large).status_code == 503, "the bytes to be spoken for")
        assert scripted.ask(ANALYSIS, PROBLEM).status_code == 200
    wait_for(lambda: scripted.ask(ANALYSIS, large).status_code == 422, "those who have left to be forgotten")
