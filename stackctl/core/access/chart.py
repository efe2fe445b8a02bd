"""A usage report as a picture: bars of tokens, of prompts and of answers one after the other, as an SVG. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Final
from xml.sax.saxutils import escape

from stackctl.core.access.usage import UsageReport, Used
from stackctl.core.text.moments import write_moment
from stackctl.core.text.tables import measure_text

# More rows than that nobody reads in a picture; the smallest are drawn as one.
MOST_ROWS: Final = 60
_ROW, _BAR, _TOP, _LABEL, _WIDTH, _FIGURE = 22, 14, 64, 200, 560, 180
_LABEL_COLUMNS: Final = 26
_PROMPT, _ANSWER = "#4c78a8", "#f58518"
_FONT: Final = 'font-family="sans-serif" font-size="12"'


def render_chart(report: UsageReport) -> str:
    """The picture's text; the same report gives the same bytes."""
    rows = _choose_rows(report)
    height = _TOP + max(len(rows), 1) * _ROW + 12
    width = _LABEL + _WIDTH + _FIGURE
    size = f'width="{width}" height="{height}"'
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" {size} viewBox="0 0 {width} {height}" {_FONT}>',
        f'<rect {size} fill="#ffffff"/>',
        _text(12, 22, f"Tokens by {report.by}, {_describe_span(report)}", 'font-size="15" fill="#222222"'),
        *_render_legend(),
        *(part for number, row in enumerate(rows) for part in _render_row(number, row, _find_scale(rows))),
    ]
    if not rows:
        parts.append(_text(12, _TOP + _BAR, "nothing was used", 'fill="#777777"'))
    return "\n".join([*parts, "</svg>", ""])


def _choose_rows(report: UsageReport) -> tuple[Used, ...]:
    """The rows to draw: days in their order, the newest ones; others by size, the smallest as one."""
    if report.by == "day":
        return report.rows[-MOST_ROWS:]
    by_size = sorted(report.rows, key=lambda row: (-row.tokens, row.name))
    if len(by_size) <= MOST_ROWS:
        return tuple(by_size)
    kept, left = by_size[: MOST_ROWS - 1], by_size[MOST_ROWS - 1 :]
    others = replace(
        left[0],
        name=f"{len(left)} others",
        requests=sum(row.requests for row in left),
        prompt_tokens=sum(row.prompt_tokens for row in left),
        completion_tokens=sum(row.completion_tokens for row in left),
    )
    return (*kept, others)


def _find_scale(rows: Sequence[Used]) -> float:
    return _WIDTH / max((row.tokens for row in rows), default=0) if any(row.tokens for row in rows) else 0.0


def _render_legend() -> Iterator[str]:
    for x, colour, name in ((_LABEL, _PROMPT, "prompts"), (_LABEL + 90, _ANSWER, "answers")):
        yield f'<rect x="{x}" y="36" width="12" height="12" fill="{colour}"/>'
        yield _text(x + 18, 46, name, 'fill="#444444"')


def _render_row(number: int, row: Used, scale: float) -> Iterator[str]:
    y = _TOP + number * _ROW
    prompt, answer = row.prompt_tokens * scale, row.completion_tokens * scale
    yield _text(_LABEL - 8, y + 11, _shorten(row.name), 'text-anchor="end" fill="#222222"')
    yield f'<rect x="{_LABEL}" y="{y}" width="{prompt:.1f}" height="{_BAR}" fill="{_PROMPT}"/>'
    yield f'<rect x="{_LABEL + prompt:.1f}" y="{y}" width="{answer:.1f}" height="{_BAR}" fill="{_ANSWER}"/>'
    requests = f"{row.requests:,} request{'' if row.requests == 1 else 's'}"
    yield _text(_LABEL + prompt + answer + 8, y + 11, f"{row.tokens:,} ({requests})", 'fill="#444444"')


def _describe_span(report: UsageReport) -> str:
    begin, end = (write_moment(moment) if moment else "" for moment in (report.since, report.until))
    return " ".join(part for part in (begin and f"from {begin}", end and f"to {end}") if part) or "all that is kept"


def _shorten(text: str) -> str:
    if measure_text(text) <= _LABEL_COLUMNS:
        return text
    while text and measure_text(text) >= _LABEL_COLUMNS:
        text = text[:-1]
    return f"{text}…"


def _text(x: float, y: float, text: str, style: str) -> str:
    # XML has no place for control characters, not even escaped.
    plain = "".join(char if char.isprintable() else "\N{REPLACEMENT CHARACTER}" for char in text)
    return f'<text x="{x:g}" y="{y:g}" {style}>{escape(plain)}</text>'
