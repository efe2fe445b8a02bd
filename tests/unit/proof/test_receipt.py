"""The receipt of a proof: equal bytes for equal facts, no floats, nothing of the machine, and one page for a person."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime

from stackctl.core.health.probes import HealthReport, ProbeResult, Status
from stackctl.core.proof.receipt import (
    NO_BUNDLE,
    AnswerFact,
    InstalledBundle,
    ModelFact,
    Receipt,
    build_receipt_values,
    hash_configuration,
    render_receipt,
)
from stackctl.core.proof.receipt_page import render_page
from stackctl.core.proof.sightings import Attempt, AttemptKind, Proof

ROWS = (
    ProbeResult("service", "inference-chat", Status.OK, "running", elapsed_s=0.0123),
    ProbeResult("completion", "local-chat", Status.OK, "known answer 'pong'", elapsed_s=0.25),
)
PASS = Receipt(
    proof=Proof(HealthReport("compose", "CPU (no GPU)", ROWS), "", (), (), ()),
    bundle=InstalledBundle("sha256:0123456789abcdef", "team-stack", "7", "signed by key 00AA"),
    stack_name="ai-stack",
    stackctl_version="0.1.0",
    configuration="sha256:aa",
    images={"b:1": "sha256:bb", "a:1": "sha256:aa"},
    models=(ModelFact("local-chat", "demo.gguf", 2_042_144, ("ab" * 32,)),),
    answers=(AnswerFact("local-chat", "ping", "pong"),),
    started=datetime(2026, 1, 2, 3, 4, 5, 678, UTC),
    finished=datetime(2026, 1, 2, 3, 5, 6, tzinfo=UTC),
)
ATTEMPT = Attempt("api-gateway", AttemptKind.LOOKUP, "models.example.com", "dns")


def with_attempts(count: int) -> Receipt:
    attempts = tuple(replace(ATTEMPT, target=f"n{number}.example.com") for number in range(count))
    return replace(PASS, proof=replace(PASS.proof, attempts=attempts))


def test_equal_facts_give_equal_bytes_in_whatever_order_they_came() -> None:
    again = replace(PASS, images={"a:1": "sha256:aa", "b:1": "sha256:bb"})
    assert render_receipt(again) == render_receipt(PASS)
    assert render_receipt(PASS).endswith("}\n")


def list_scalars(value: object) -> Iterator[object]:
    if isinstance(value, dict):
        for key in value:
            assert list(value) == sorted(value)
            yield from list_scalars(value[key])
    elif isinstance(value, list):
        for item in value:
            yield from list_scalars(item)
    else:
        yield value


def test_the_json_is_sorted_and_has_no_floats() -> None:
    assert not [value for value in list_scalars(json.loads(render_receipt(PASS))) if isinstance(value, float)]


def test_it_states_what_was_proved_and_when() -> None:
    values = build_receipt_values(PASS)
    assert (values["verdict"], values["reasons"]) == ("passed", [])
    assert (values["started"], values["finished"]) == ("2026-01-02T03:04:05Z", "2026-01-02T03:05:06Z")
    assert values["bundle"]["id"] == "sha256:0123456789abcdef"
    assert values["questions"] == [{"model": "local-chat", "question": "ping", "expected": "pong"}]
    assert values["health"][1]["elapsed_ms"] == 250
    assert PASS.file_stem == "20260102T030506Z-0123456789ab"


def test_without_a_bundle_it_says_so() -> None:
    receipt = replace(PASS, bundle=None)
    assert build_receipt_values(receipt)["source"] == NO_BUNDLE
    assert NO_BUNDLE in render_page(receipt)
    assert receipt.file_stem.endswith("-site")


def test_a_digest_that_nobody_knows_is_not_invented() -> None:
    receipt = replace(PASS, models=(ModelFact("local-chat", "demo.gguf", 5),))
    assert build_receipt_values(receipt)["models"][0]["sha256"] is None
    assert "sha256 not known here" in render_page(receipt)


def test_the_page_of_a_pass_shows_the_answer_and_what_it_was_given_by() -> None:
    page = render_page(PASS)
    assert page.startswith("PROOF OF OFFLINE OPERATION: PASSED")
    for part in (
        "known answer 'pong' to 'ping'",
        "team-stack 7",
        "signed by key 00AA",
        "  a:1\n    sha256:aa",
        "ab" * 32,
    ):
        assert part in page


def test_the_page_of_a_failure_names_every_attempt_that_fits() -> None:
    page = render_page(with_attempts(2))
    assert page.startswith("PROOF OF OFFLINE OPERATION: FAILED")
    assert "- api-gateway looked up the name n0.example.com (once)" in page
    assert "- api-gateway looked up the name n1.example.com (once)" in page


def test_nothing_on_the_page_is_obeyed_by_a_terminal() -> None:
    attempt = replace(ATTEMPT, target="\x1b[2Jx.example.com")
    page = render_page(replace(PASS, proof=replace(PASS.proof, attempts=(attempt,))))
    assert "the name \\x1b[2Jx.example.com" in page
    assert "\x1b" not in page


def test_the_id_of_a_bundle_with_a_long_name_is_not_cut() -> None:
    bundle = InstalledBundle("ab" * 32, "n" * 63, "12", "signed by key 00AA")
    assert "ab" * 32 in render_page(replace(PASS, bundle=bundle))


def test_however_much_went_wrong_the_page_stays_a_page_and_says_what_it_leaves_out() -> None:
    receipt = with_attempts(500)
    page = render_page(replace(receipt, models=PASS.models * 100, images={str(n): "sha256:" for n in range(50)}))
    assert len(page.splitlines()) <= 66
    assert max(map(len, page.splitlines())) <= 100
    assert "and 488 more, in the JSON receipt" in page
    assert len(build_receipt_values(receipt)["attempts"]) == 500


def test_a_configuration_is_told_apart_by_every_file_and_its_name() -> None:
    files = {"a": "1", "b": "2"}
    digests = {hash_configuration(item) for item in (files, {"a": "1"}, {"a": "1", "b": "3"}, {"a": "1", "c": "2"})}
    assert len(digests) == 4
    assert hash_configuration({"b": "2", "a": "1"}) == hash_configuration(files)
