"""Figures to ``docs/benchmarks.json`` and a page that people read."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

_HEAD = """\
# Benchmarks

Written by `make bench`; every figure is a ratio whose two sides were measured in turn in one run, so it holds on
another machine better than seconds do. Seconds and rates are shown to make sense of the ratio. A run of one group
(`--only GROUP`) replaces that group's figures only.

"""
_NOTES = {
    "Offline bundles with containers": "Only ours checks every byte, and layers that were"
    " built on this machine travel uncompressed. Zarf and Hauler were not measured: they are published as binaries of"
    " GitHub releases only, and a run of these benchmarks fetches none.",
}


@dataclass(frozen=True)
class Figure:
    """One measured ratio.

    Attributes:
        ours, other: what the two sides are, with their medians in words.
        ratio: None where it could not be measured; ``ours`` says why.
        goal: what the ratio should be at most or at least; empty when it is only shown.
        met: whether it is; None when there is no goal.
    """

    group: str
    name: str
    command: str
    ours: str
    other: str
    ratio: float | None
    goal: str = ""
    met: bool | None = None

    def write_ratio(self) -> str:
        """The ratio for people."""
        return "-" if self.ratio is None else f"{self.ratio:.2f}"


def load_figures(folder: Path) -> list[Figure]:
    """The figures of earlier runs."""
    path = folder / "benchmarks.json"
    return [Figure(**item) for item in json.loads(path.read_text())["figures"]] if path.is_file() else []


def write_report(measured: Sequence[Figure], machine: str, folder: Path) -> None:
    """Both files; groups that were not measured keep their figures."""
    folder.mkdir(exist_ok=True)
    titles = {figure.group for figure in measured}
    figures = [*(figure for figure in load_figures(folder) if figure.group not in titles), *measured]
    values = {"machine": machine, "figures": [asdict(figure) for figure in figures]}
    (folder / "benchmarks.json").write_text(json.dumps(values, indent=2, ensure_ascii=False) + "\n")
    parts = [_HEAD, f"Machine: {machine}.\n"]
    for group in dict.fromkeys(figure.group for figure in figures):
        note = f"{_NOTES[group]}\n\n" if group in _NOTES else ""
        parts.append(
            f"\n## {group}\n\n{note}| what | ours | measured against | ratio | goal |\n|---|---|---|---|---|\n"
        )
        rows = [figure for figure in figures if figure.group == group]
        for figure in rows:
            verdict = "" if figure.met is None else (" (met)" if figure.met else " (**not met**)")
            cells = (figure.name, figure.ours, figure.other, figure.write_ratio(), figure.goal + verdict)
            parts.append("| " + " | ".join(cells) + " |\n")
        commands = dict.fromkeys(figure.command for figure in rows)
        parts.append("\n" + "".join(f"Command: `{command}`\n\n" for command in commands).rstrip() + "\n")
    (folder / "benchmarks.md").write_text("".join(parts))
