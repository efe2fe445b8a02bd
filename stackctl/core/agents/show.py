"""Results of the agents as Markdown, in the language they were asked for in. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from stackctl.core.agents.run import ANALYSIS, QUESTIONS, REQUIREMENTS, AgentRun

_WORDS = {
    "en": {
        "goals": "Goals", "obstacles": "Obstacles", "constraints": "Constraints", "people": "People",
        "unknowns": "Not known yet", "kind": "kind", "complexity": "complexity", "questions": "Questions",
        "known": "Known already", "required": "required", "options": "for example", "answer": "Answer",
        "functions": "Functions", "qualities": "Qualities", "risks": "Risks", "out_of_scope": "Out of scope",
        "open_questions": "Open questions", "none": "There is nothing to ask.",
    },
    "ko": {
        "goals": "목표", "obstacles": "걸림돌", "constraints": "제약", "people": "사람들",
        "unknowns": "아직 모르는 것", "kind": "종류", "complexity": "복잡도", "questions": "질문",
        "known": "이미 아는 것", "required": "필수", "options": "예", "answer": "답",
        "functions": "기능", "qualities": "품질", "risks": "위험", "out_of_scope": "범위 밖",
        "open_questions": "남은 질문", "none": "물어볼 것이 없습니다.",
    },
}  # fmt: skip
_ANALYSIS_LISTS = ("goals", "obstacles", "constraints", "unknowns")


def render_markdown(run: AgentRun, steps: Iterable[str]) -> str:
    """The results of these steps, as far as they are there; each with how it came about."""
    parts = []
    for step in steps:
        result = getattr(run, step)
        if result is not None:
            call = run.calls.get(step, {})
            words = _WORDS["en" if call.get("language") == "en" else "ko"]
            parts += [*_RENDERERS[step](result, words, run), _render_call(call), ""]
    return "\n".join(parts).rstrip()


def _render_analysis(result: Mapping[str, Any], words: Mapping[str, str], run: AgentRun) -> list[str]:
    lines = [f"# {_line(result.get('title'))}", "", _line(result.get("summary")), ""]
    lines += [f"- {words[name]}: {_line(result.get(name))}" for name in ("kind", "complexity")]
    for name in _ANALYSIS_LISTS:
        lines += _render_list(words[name], [_line(entry) for entry in result.get(name, ())])
    people = [f"{_line(one.get('who'))}: {_line(one.get('need'))}" for one in result.get("people", ())]
    return [*lines, *_render_list(words["people"], people), ""]


def _render_questions(result: Mapping[str, Any], words: Mapping[str, str], run: AgentRun) -> list[str]:
    lines = [f"## {words['questions']}", ""]
    for one in run.asked:
        mark = f" ({words['required']})" if one["is_required"] else ""
        lines.append(f"- **{one['id']}**{mark} {_line(one['text'])}")
        lines.append(f"  {_line(one['reason'])}")
        if one["options"]:
            lines.append(f"  {words['options']}: {', '.join(_line(option) for option in one['options'])}")
        if answer := run.answers.get(one["id"], ""):
            lines.append(f"  **{words['answer']}**: {_line(answer)}")
    if not run.asked:
        lines.append(words["none"])
    return [*lines, *_render_list(words["known"], [_line(entry) for entry in result.get("known", ())]), ""]


def _render_requirements(result: Mapping[str, Any], words: Mapping[str, str], run: AgentRun) -> list[str]:
    lines = [f"# {_line(result.get('title'))}", "", _line(result.get("purpose")), "", f"## {words['functions']}", ""]
    for one in result.get("functions", ()):
        lines.append(f"- **{one.get('id')}** ({one.get('priority')}) {_line(one.get('text'))}")
        lines += [f"  - {_line(way)}" for way in one.get("acceptance", ())]
    qualities = [
        f"**{one.get('id')}** ({one.get('priority')}, {one.get('kind')}) {_line(one.get('text'))}"
        for one in result.get("qualities", ())
    ]
    lines += _render_list(words["qualities"], qualities)
    risks = [f"{_line(one.get('text'))} → {_line(one.get('answer'))}" for one in result.get("risks", ())]
    lines += _render_list(words["risks"], risks)
    for name in ("out_of_scope", "open_questions"):
        lines += _render_list(words[name], [_line(entry) for entry in result.get(name, ())])
    return [*lines, ""]


def _render_list(title: str, entries: list[str]) -> list[str]:
    return ["", f"## {title}", "", *(f"- {entry}" for entry in entries)] if entries else []


def _render_call(call: Mapping[str, Any]) -> str:
    tokens = int(call.get("prompt_tokens") or 0) + int(call.get("completion_tokens") or 0)
    return f"<!-- {call.get('model')}, {call.get('attempts')} x, {tokens} tokens, {call.get('time_s')} s -->"


def _line(text: object) -> str:
    """A text of a model on one line: a line end would begin what it likes."""
    return " ".join(str(text or "").split())


_RENDERERS = {ANALYSIS: _render_analysis, QUESTIONS: _render_questions, REQUIREMENTS: _render_requirements}
