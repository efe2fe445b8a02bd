"""A usage report: read from the gateway's answer, written as a table, as CSV and as a picture."""

from __future__ import annotations

import csv
import io
from xml.etree import ElementTree

from hypothesis import given
from hypothesis import strategies as st

from stackctl.core.access.chart import MOST_ROWS, render_chart
from stackctl.core.access.usage import UsageReport, Used, parse_report, render_csv

ROW = {
    "name": "alice",
    "requests": 1200,
    "failed": 3,
    "prompt_tokens": 1_000_000,
    "completion_tokens": 500_000,
    "cached_tokens": 250_000,
    "duration_s": 3700.4,
}
names = st.text(max_size=40)
counts = st.integers(0, 10**15)
useds = st.builds(Used, names, counts, counts, counts, counts, counts, st.floats(0, 1e9))
SVG = "{http://www.w3.org/2000/svg}"


def report(rows: list[Used], by: str = "key") -> UsageReport:
    return UsageReport(by, tuple(rows), Used("total", 0, 0, 0, 0, 0, 0.0), 1_800_000_000.0, None)


def test_the_gateways_answer_becomes_rows_and_their_sum() -> None:
    body = {"rows": [ROW, {"name": "bob", "requests": 1, "prompt_tokens": None}], "total": ROW, "since": 5.0}
    found = parse_report("key", body)
    assert found.rows == (
        Used("alice", 1200, 3, 1_000_000, 500_000, 250_000, 3700.4),
        Used("bob", 1, 0, 0, 0, 0, 0.0),
    )
    assert (found.total.name, found.total.tokens, found.since, found.until) == ("total", 1_500_000, 5.0, None)
    assert found.rows[0].list_cells() == ("1,200", "3", "1,000,000", "500,000", "250,000", "1 h 01 min")


@given(st.lists(useds, max_size=5))
def test_csv_gives_back_every_name_and_number(rows: list[Used]) -> None:
    read = list(csv.reader(io.StringIO(render_csv(report(rows, "model")), newline="")))
    assert read[0] == [
        "model",
        "requests",
        "failed",
        "prompt_tokens",
        "completion_tokens",
        "cached_tokens",
        "duration_s",
    ]
    assert [row[0] for row in read[1:]] == [row.name for row in rows]
    assert [[int(cell) for cell in row[1:6]] for row in read[1:]] == [
        [row.requests, row.failed, row.prompt_tokens, row.completion_tokens, row.cached_tokens] for row in rows
    ]


@given(st.lists(useds, max_size=80), st.sampled_from(["key", "day"]))
def test_every_report_is_a_picture_that_an_xml_reader_takes(rows: list[Used], by: str) -> None:
    picture = ElementTree.fromstring(render_chart(report(rows, by)))
    bars = [bar for bar in picture.iter(f"{SVG}rect") if bar.get("fill") in ("#4c78a8", "#f58518")][2:]
    assert len(bars) == 2 * min(len(rows), MOST_ROWS)
    width = float(picture.attrib["width"])
    assert all(float(bar.attrib["x"]) + float(bar.attrib["width"]) <= width for bar in bars)


def test_bars_are_as_long_as_their_tokens_and_the_longest_comes_first() -> None:
    rows = [Used("small", 1, 0, 100, 0, 0, 1.0), Used("large <&>", 2, 0, 300, 100, 0, 1.0)]
    picture = render_chart(report(rows))
    assert picture == render_chart(report(rows))
    drawn = ElementTree.fromstring(picture)
    bars = [float(bar.attrib["width"]) for bar in drawn.iter(f"{SVG}rect") if bar.get("height") == "14"]
    assert bars == [420.0, 140.0, 140.0, 0.0]
    texts = [text.text for text in drawn.iter(f"{SVG}text")]
    assert texts == [
        "Tokens by key, from 2027-01-15 08:00 UTC",
        "prompts",
        "answers",
        "large <&>",
        "400 (2 requests)",
        "small",
        "100 (1 request)",
    ]


def test_days_stay_in_their_order_and_the_smallest_of_many_are_one_row() -> None:
    days = [Used(f"2027-01-{day:02d}", 1, 0, day % 7, 0, 0, 1.0) for day in range(1, 32)]
    texts = [text.text for text in ElementTree.fromstring(render_chart(report(days, "day"))).iter(f"{SVG}text")]
    assert [text for text in texts if text and text.startswith("2027-01-")] == [day.name for day in days]
    many = [Used(f"k{number}", 1, 0, 10, 1, 0, 1.0) for number in range(100)]
    assert "41 others" in render_chart(report(many))
    assert "451 (41 requests)" in render_chart(report(many))


def test_nothing_used_is_said() -> None:
    assert "nothing was used" in render_chart(report([]))
