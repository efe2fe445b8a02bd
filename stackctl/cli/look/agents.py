"""``stackctl agents``: let the agents analyse a problem in a file, ask for its context and write its requirements."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from stackctl.cli.console import print_json, print_note, print_text, print_warnings
from stackctl.cli.context import Context
from stackctl.core.agents.run import ANALYSIS, QUESTIONS, REQUIREMENTS, STEPS

if TYPE_CHECKING:
    from stackctl.operations.look.agents import Wishes, Work

_WAITING = (
    "Answers are waited for: write them into 'answers' of '{path}' and run it again, or give --go-on to do without."
)


@click.group()
def agents() -> None:
    """Work out what a problem in FILE is and what is needed. What is found is kept in FILE.run.json."""


def _options(command: Callable[..., None]) -> Callable[..., None]:
    for option in (
        click.argument("file", type=click.Path(path_type=Path, dir_okay=False, exists=True)),
        click.option("--language", type=click.Choice(["ko", "en"]), help="Language of prompts and results."),
        click.option("--model", default="", help="Served name of the model to ask.  [default: AGENTS_MODEL]"),
        click.option("--anew", is_flag=True, help="Leave behind what FILE.run.json has."),
        click.option("--json", "as_json", is_flag=True, help="Print the result as JSON instead of Markdown."),
        click.pass_obj,
    ):
        command = option(command)
    return command


_context = click.option(
    "--context",
    "known",
    type=click.Path(path_type=Path, dir_okay=False, exists=True),
    help="File of what is known already: a text, or a JSON object of answers. FILE.run.json remembers it.",
)


@agents.command()
@_options
def analyze(context: Context, file: Path, as_json: bool, **wishes: Any) -> None:
    """Analyse the problem that is told in FILE."""
    _take(context, file, ANALYSIS, _wish(**wishes), as_json)


@agents.command()
@_options
@_context
def questions(context: Context, file: Path, as_json: bool, **wishes: Any) -> None:
    """Find out what has to be asked about the problem in FILE, which has been analysed."""
    _take(context, file, QUESTIONS, _wish(**wishes), as_json)


@agents.command()
@_options
@_context
def requirements(context: Context, file: Path, as_json: bool, **wishes: Any) -> None:
    """Write the requirements, with the answers that FILE.run.json has."""
    _take(context, file, REQUIREMENTS, _wish(**wishes), as_json)


@agents.command()
@_options
@_context
@click.option("--go-on", is_flag=True, help="Write requirements although required questions have no answer.")
def run(context: Context, file: Path, as_json: bool, **wishes: Any) -> None:
    """Take every step that is still to come; questions are asked here, or answered in FILE.run.json."""
    from stackctl.operations.look.agents import Work

    with context.open() as effects:
        work = Work(effects, file.absolute(), _wish(**wishes))
        print_warnings(() if work.is_done else work.warnings)
        is_done = work.finish(_ask_person)
    _print(work, STEPS, as_json)
    if not is_done:
        print_note(_WAITING.format(path=work.path))


def _take(context: Context, file: Path, step: str, wishes: Wishes, as_json: bool) -> None:
    from stackctl.operations.look.agents import Work

    with context.open() as effects:
        work = Work(effects, file.absolute(), wishes)
        print_warnings(work.warnings)
        work.take_step(step)
    _print(work, (step,), as_json)


def _wish(language: str | None, model: str, anew: bool, go_on: bool = False, known: Path | None = None) -> Wishes:
    from stackctl.operations.look.agents import Wishes

    return Wishes(language or "", model, anew, go_on, known.absolute() if known else None)


def _print(work: Work, steps: tuple[str, ...], as_json: bool) -> None:
    from stackctl.core.agents.show import render_markdown

    if as_json:
        found = {step: getattr(work.run, step) for step in steps}
        print_json({**found, "answers": work.run.answers, "calls": {step: work.run.calls.get(step) for step in steps}})
    else:
        print_text(render_markdown(work.run, steps))


def _ask_person(question: Mapping[str, Any]) -> str | None:
    """A person's answer at the terminal; empty where it is left out, None where nobody is there."""
    if not (sys.stdin.isatty() and sys.stderr.isatty()):
        return None
    print_note(f"\n{question['id']}: {question['text']}\n  {question['reason']}")
    if question["options"]:
        print_note(f"  {' / '.join(question['options'])}")
    return str(click.prompt("  ", default="", show_default=False, prompt_suffix="> ", err=True))
