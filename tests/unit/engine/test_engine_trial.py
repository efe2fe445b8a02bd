"""What is kept of an engine's trial survives as text, and other text is no record."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from stackctl.core.engine.trial import EngineRecord, TrialResult, parse_record, parse_trial, write_record

RECORDS = st.builds(
    EngineRecord,
    works=st.booleans(),
    environment=st.dictionaries(st.text(), st.text(), max_size=3),
    reason=st.text(),
)


@given(RECORDS)
def test_a_record_is_read_as_it_was_written(record: EngineRecord) -> None:
    assert parse_record(write_record(record)) == record


@given(st.text())
def test_any_other_text_is_no_record_and_no_trial(text: str) -> None:
    assert parse_record(text) is None
    assert parse_trial(text) is None


def test_what_a_trial_prints_is_what_came_of_it() -> None:
    text = '{"failure": "died of SIGILL", "is_lasting": true, "signal": "SIGILL", "elapsed_s": 0.5, "log": ["a"]}'
    assert parse_trial(text) == TrialResult("died of SIGILL", True, "SIGILL", 0.5, ("a",))
