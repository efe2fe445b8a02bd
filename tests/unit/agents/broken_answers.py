"""Fifty ways in which models spoil one object, and what is made of each: mended, or refused for a reason."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

VALUE: dict[str, Any] = {"text": "Who?", "reason": "Rights", "options": ["a", "b"], "is_required": True}
GOOD = '{"text": "Who?", "reason": "Rights", "options": ["a", "b"], "is_required": true}'
OTHER = GOOD.replace("Who?", "When?")
MENDED = "mended"


@dataclass(frozen=True)
class Broken:
    """One answer.

    Attributes:
        outcome: ``mended``, or the code of the fault that the model is told.
        changes: how what is read differs from ``VALUE``.
    """

    kind: str
    text: str
    outcome: str = MENDED
    is_cut: bool = False
    changes: dict[str, Any] = field(default_factory=dict)


def _swap(old: str, new: str) -> str:
    assert old in GOOD
    return GOOD.replace(old, new, 1)


CASES = (
    Broken("in a code fence", f"```json\n{GOOD}\n```"),
    Broken("in a fence without a language", f"```\n{GOOD}\n```"),
    Broken("in a fence that is never closed", f"```json\n{GOOD}"),
    Broken("prose before it", f"Sure, here it is:\n{GOOD}"),
    Broken("prose behind it", f"{GOOD}\nI hope this helps!"),
    Broken("prose around a fence", f"Of course.\n```json\n{GOOD}\n```\nTell me more."),
    Broken("Korean prose around it", f"네, 결과입니다.\n{GOOD}\n도움이 되었기를 바랍니다."),
    Broken("thoughts before it", f"<think>A question {{who}}?</think>\n{GOOD}"),
    Broken("a byte order mark", f"\ufeff{GOOD}"),
    Broken("a comma at the end of the object", _swap("true}", "true,}")),
    Broken("a comma at the end of a list", _swap('"b"]', '"b",]')),
    Broken("two commas", _swap('"Who?", ', '"Who?",, ')),
    Broken("no comma between fields", _swap('"Who?", ', '"Who?" ')),
    Broken("no comma in a list", _swap('"a", "b"', '"a" "b"')),
    Broken("a semicolon for a comma", _swap('"b"], ', '"b"]; ')),
    Broken("apostrophes for quotes", GOOD.replace('"', "'")),
    Broken("curly quotes", "{“text”: “Who?”, “reason”: “Rights”, “options”: [“a”, “b”], “is_required”: true}"),
    Broken("names without quotes", '{text: "Who?", reason: "Rights", options: ["a", "b"], is_required: true}'),
    Broken("a name without its closing quote", _swap('"reason":', '"reason:')),
    Broken("Python's True", _swap("true", "True")),
    Broken("a truth value in quotes", _swap("true", '"true"')),
    Broken("a line comment", _swap('"reason"', '// why\n "reason"')),
    Broken("a block comment", _swap('"reason"', '/* why */ "reason"')),
    Broken("no brace at the end", GOOD[:-1]),
    Broken("no bracket of the list", _swap('"b"], ', '"b", ')[:-1] + "}"),
    Broken("a brace too many at the end", GOOD + "}"),
    Broken("braces twice, as in templates", "{" + GOOD + "}"),
    Broken("an object written as a text", '"' + GOOD.replace('"', '\\"') + '"'),
    Broken("in a list of one", f"[{GOOD}]"),
    Broken("in an object of its own", f'{{"question": {GOOD}}}'),
    Broken(
        "a list that is one text",
        '{"text": "Who?", "reason": "Rights", "options": "a", "is_required": true}',
        changes={"options": ["a"]},
    ),
    Broken("spaces around texts", _swap('"Who?"', '" Who? "')),
    Broken("a raw line end in a text", _swap("Who?", "Who\n?"), changes={"text": "Who\n?"}),
    Broken("a raw tab in a text", _swap("Who?", "Who\t?"), changes={"text": "Who\t?"}),
    Broken("quotes in a text", _swap("Who?", 'Who is "he"?'), changes={"text": 'Who is "he"?'}),
    Broken("nothing", "", "no_object"),
    Broken("a sentence", "I cannot answer that.", "no_object"),
    Broken("a refusal in Korean", "죄송하지만 답할 수 없습니다.", "no_object"),
    Broken("YAML", "text: Who?\nreason: Rights\noptions: [a, b]\nis_required: true", "no_object"),
    Broken("XML", "<text>Who?</text><reason>Rights</reason>", "no_object"),
    Broken("two objects", f"{OTHER}\n{GOOD}", "several_objects"),
    Broken("two objects in a list", f"[{OTHER}, {GOOD}]", "several_objects"),
    Broken("a field twice", _swap('"reason"', '"text": "What?", "reason"'), "repeated_field"),
    Broken("cut off at the limit of tokens", GOOD[:50], "cut_off", is_cut=True),
    Broken("cut off, and only a brace is missing", GOOD[:-1], "cut_off", is_cut=True),
    Broken("a field is missing", _swap('"reason": "Rights", ', ""), "missing"),
    Broken("a field too many", _swap("true}", 'true, "mood": "good"}'), "extra_forbidden"),
    Broken("an empty text", _swap("Who?", ""), "string_too_short"),
    Broken("a text that is too long", _swap("Who?", "w" * 201), "string_too_long"),
    Broken("too many entries", _swap('"a", "b"', ", ".join(['"a"'] * 6)), "too_long"),
    Broken("null for a text", _swap('"Who?"', "null"), "string_type"),
    Broken("a number for a text", _swap('"Who?"', "7"), "string_type"),
    Broken("a word for a truth value", _swap("true", '"perhaps"'), "bool_parsing"),
    Broken("half a surrogate pair", _swap("Who?", "\\ud83d"), "string_unicode"),
    Broken("nested without end", '{"text":' * 400, "too_large"),
)
