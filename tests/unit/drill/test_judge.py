"""What a drill calls as promised, and what it calls different."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

from gateway.outcomes import OUTCOMES

from stackctl.core.drill.answers import CANARY
from stackctl.core.drill.asks import Ask
from stackctl.core.drill.faults import FAULTS
from stackctl.core.drill.judge import Trial, describe_sighting, judge_trial
from stackctl.core.drill.plan import LONGEST_S, PlannedTrial, plan_trials, write_configuration
from stackctl.core.drill.rows import ROWS
from stackctl.core.drill.sightings import Received

ROW = {row.name: row for row in ROWS}
HEADERS = {"content-type": "application/json", "x-request-id": "r"}
EVENTS = {**HEADERS, "content-type": "text/event-stream"}
ANSWER = {"model": "m", "choices": [{"message": {"content": "one two three four"}, "finish_reason": "stop"}]}


def plan(name: str, *, streamed: bool = False, has_next: bool = False) -> PlannedTrial:
    return PlannedTrial(ROW[name], Ask("chat", streamed, "m"), has_next, f"{name}@1", "ok@1")


def refuse(status: int, code: str, **more: Any) -> Received:
    error = {"message": "A sentence.", "type": "server_error", "param": None, "code": code, **more}
    return Received(status, HEADERS, json.dumps({"error": error}), 0.1)


def answer(**changes: Any) -> Received:
    return Received(200, HEADERS, json.dumps({**ANSWER, **changes}), 0.1)


def test_the_next_providers_answer_is_as_promised() -> None:
    trial = Trial(plan("503-openai", has_next=True), answer(), 2, 1)
    assert judge_trial(trial) == ()
    assert describe_sighting(trial) == "the next one's answer"
    assert judge_trial(replace(trial, tries=1)) == ("the provider was asked 1 times; expected 2",)
    assert judge_trial(replace(trial, next_tries=2)) == ("the next provider was asked 2 times; expected 1",)
    named = judge_trial(replace(trial, received=answer(model="other")))
    assert named == ("'model' is other; expected m",)


def test_an_error_is_as_promised_with_its_status_and_code() -> None:
    trial = Trial(plan("503-openai"), refuse(503, "upstream_error"), 2, 0)
    assert judge_trial(trial) == ()
    assert describe_sighting(trial) == "503 upstream_error"
    assert judge_trial(replace(trial, received=refuse(502, "bad_gateway"))) == (
        "saw 502 bad_gateway; expected 503 upstream_error",
    )


def test_a_client_fault_never_reaches_the_next_provider() -> None:
    trial = Trial(plan("422-llama", has_next=True), refuse(400, "invalid_request"), 1, 0)
    assert judge_trial(trial) == ()
    problems = judge_trial(replace(trial, received=answer(), next_tries=1))
    assert "saw 200 no error; expected 400 invalid_request" in problems
    assert problems[-1] == "the next provider was asked 1 times; expected 0"


def test_both_numbers_of_an_overflow_are_told() -> None:
    told = refuse(400, "context_length_exceeded", message="The prompt has 5012 tokens; the model takes 4096.")
    trial = Trial(plan("overflow-llama"), told, 1, 0)
    assert judge_trial(trial) == ()
    untold = replace(trial, received=refuse(400, "context_length_exceeded"))
    assert judge_trial(untold) == ("the sentence lacks 5012 or 4096: 'A sentence.'",)


def test_an_answer_that_breaks_off_is_an_error_event_and_never_an_answer() -> None:
    begun = 'data: {"model": "m", "choices": [{"delta": {"content": "one two"}}]}\n\n'
    error = {"message": "s", "type": "server_error", "param": None, "code": "upstream_error"}
    told = Received(200, EVENTS, f"{begun}data: {json.dumps({'error': error})}\n\n", 0.1)
    trial = Trial(plan("unfinished-after", streamed=True, has_next=True), told, 1, 0)
    assert judge_trial(trial) == ()
    assert describe_sighting(trial) == "an answer that broke off, upstream_error"
    success = replace(trial, received=replace(told, text=f"{begun}data: [DONE]\n\n"))
    assert "an answer was taken for complete that is not" in judge_trial(success)
    assert judge_trial(replace(trial, received=replace(told, text=begun))) == (
        "saw 200 no error; expected 200 upstream_error",
    )


def test_what_a_provider_says_may_reach_nobody() -> None:
    trial = Trial(plan("503-openai"), refuse(503, "upstream_error", message=f"It says {CANARY}."), 2, 0)
    assert judge_trial(trial) == (f"'{CANARY}' reached the client",)
    headers = {**HEADERS, "server": CANARY}
    leaky = replace(trial, received=replace(refuse(503, "upstream_error"), headers=headers))
    assert judge_trial(leaky) == (f"'{CANARY}' reached the client",)


def test_a_hang_a_break_and_a_missing_id_are_told() -> None:
    hung = Received(0, {}, "", LONGEST_S + 1, "nothing came any more")
    problems = judge_trial(Trial(plan("hang"), hung, 2, 0))
    assert problems[0] == "the connection broke: nothing came any more"
    assert any("took" in problem for problem in problems)
    assert "there is no X-Request-Id" in problems


def test_each_row_has_a_name_of_its_own_and_a_fault_where_the_stand_in_makes_it() -> None:
    assert len({row.name for row in ROWS}) == len(ROWS)
    assert [row.name for row in ROWS if row.server == "stand-in" and row.name not in FAULTS] == []


def test_every_outcome_of_the_gateways_table_has_a_row() -> None:
    # These are no provider's doing: tests/integration/gateway: test_router.py and shared/test_shared_limits.py, and
    # tests/unit/gateway/test_limits.py.
    others = {"upstream_left_out", "queue_full", "rate_limit_exceeded", "limits_unavailable"}
    table = {outcome.code: outcome for outcome in OUTCOMES if outcome.code not in others}
    assert {row.code for row in ROWS if row.code} == set(table)
    for row in ROWS:
        if row.code and row.name != "429-retry-never":  # its provider asks for a wait beyond every deadline
            outcome = table[row.code]
            promised = (outcome.status, outcome.is_retried, outcome.falls_back)
            assert (row.status, row.is_retried, row.falls_back) == promised, row.name


def test_each_request_of_a_drill_has_a_route_and_targets_of_its_own() -> None:
    planned = plan_trials((ROW["503-openai"], ROW["cut-after"]), ("chat", "embeddings"))
    # Chat whole and streamed, embeddings where the row can be seen there; alone and with a next provider.
    assert len(planned) == 2 * 3 + 2 * 2
    written = json.loads(
        write_configuration(planned, {"stand-in": "http://a:1"}, "http://b:2", dialect="openai-compatible")
    )
    names = [model["model_name"] for model in written["model_list"]]
    assert len(names) == len(set(names)) == 15
    route = written["gateway"]["routes"]["drill-1"]
    assert route["targets"] == ["drill-1", "drill-1-next"]
    assert {model["litellm_params"]["api_base"] for model in written["model_list"]} == {
        "http://a:1/v1",
        "http://b:2/v1",
    }
