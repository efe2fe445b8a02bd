"""``stackctl chat``: one question through the gateway, the answer as it is written."""

from __future__ import annotations

import time

import click

from stackctl.cli.console import print_note, print_piece, print_text
from stackctl.cli.context import Context
from stackctl.cli.program import read_standard_input

RATE_TOKENS = 8


@click.command()
@click.argument("message")
@click.option("--model", default="local-chat", show_default=True, help="Served name of the model to ask.")
@click.option("--system", default="", help="System prompt.")
@click.option(
    "--max-tokens", type=click.IntRange(min=1), help="Longest answer.  [default: what the context has room for]"
)
@click.option("--temperature", type=click.FloatRange(0, 2), help="0 always gives the likeliest answer.")
@click.pass_obj
def chat(
    context: Context, message: str, model: str, system: str, max_tokens: int | None, temperature: float | None
) -> None:
    """Ask MESSAGE ('-' reads standard input) and print the answer as it comes."""
    from stackctl.operations.look.chat import ask

    first = written = 0.0
    tokens = 0
    text = read_standard_input() if message == "-" else message
    with context.open() as effects:
        answer = ask(effects, text, model=model, system=system, max_tokens=max_tokens, temperature=temperature)
        for piece in answer:
            if not piece.tokens:
                print_piece(piece.text)
                written = time.monotonic()
                first = first or written
            tokens = piece.tokens or tokens
    print_text()
    if tokens:
        # The first one came with the prompt's own time; a few of them may come all at once, and tell no speed.
        has_rate = tokens >= RATE_TOKENS and written > first
        rate = f", {(tokens - 1) / (written - first):.0f} tokens/s" if has_rate else ""
        print_note(f"[{tokens} token{'s' if tokens > 1 else ''}{rate}]")
