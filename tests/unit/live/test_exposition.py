"""Series are read as Prometheus' own library writes them, whatever stands in a label."""

from __future__ import annotations

import math
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry, Gauge, generate_latest

from stackctl.core.live.exposition import Scrape, parse_scrape

# What UTF-8 can write.
TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)


@given(st.dictionaries(st.tuples(TEXTS, TEXTS), st.floats(allow_nan=False), max_size=5))
def test_what_the_library_writes_is_read(values: dict[tuple[str, str], float]) -> None:
    registry = CollectorRegistry()
    gauge = Gauge("some_gauge", 'A "help" with \\ and\nlines.', ("first", "second"), registry=registry)
    for labels, value in values.items():
        gauge.labels(*labels).set(value)
    scrape = parse_scrape(generate_latest(registry).decode(), 5.0)
    found = {(labels["first"], labels["second"]): value for labels, value in scrape.read("some_gauge")}
    assert found == values
    assert scrape.taken_at == 5.0


def test_forms_that_others_write() -> None:
    text = '\n# HELP a b\na 1\nb{x="1",} 2 1700000000\nc{le="+Inf" , y="}" }\t+Inf\nd{} NaN\n'
    scrape = parse_scrape(text, 0.0)
    assert list(scrape.read("a")) == [({}, 1.0)]
    assert list(scrape.read("b")) == [({"x": "1"}, 2.0)]
    assert list(scrape.read("c")) == [({"le": "+Inf", "y": "}"}, math.inf)]
    assert math.isnan(next(scrape.read("d"))[1])
    assert list(scrape.read("e")) == []


@pytest.mark.parametrize(
    "line", ["<html>", "a", "a b", 'a{x="1} 2', "a{x=1} 2", 'a{x="1" y="2"} 3', "1a 2", '{"a": 1}', "a 1 2 3"]
)
def test_what_is_no_series_is_refused(line: str) -> None:
    with pytest.raises(ValueError, match="is no series"):
        parse_scrape(f"fine 1\n{line}\n", 0.0)


@given(st.text(max_size=60))
def test_no_text_breaks_it(text: str) -> None:
    with suppress(ValueError):
        assert isinstance(parse_scrape(text, 0.0), Scrape)
