"""``stackctl chat``: one question through the gateway, the answer as it is written."""

from __future__ import annotations

import click

from stackctl.cli.console import print_piece, print_text
from stackctl.cli.main import Context
from stackctl.cli.program import read_standard_input


@click.command()
@click.argument("message")
@click.option("--model", default="local-chat", show_default=True, help="Served name of the model to ask.")
@click.option("--system", default="", help="System prompt.")
@click.option("--temperature", type=click.FloatRange(0, 2), help="0 always gives the likeliest answer.")
@click.pass_obj
def chat(context: Context, message: str, model: str, system: str, temperature: float | None) -> None:
    """Ask MESSAGE ('-' reads standard input) and print the answer as it comes."""
    from stackctl.operations.chat import ask

    text = read_standard_input() if message == "-" else message
    with context.open() as effects:
        for piece in ask(effects, text, model=model, system=system, temperature=temperature):
            print_piece(piece)
    print_text()
