"""What a model is sent for a request: the system message, the history, the question. Pure.

No message but the first can be the system's, whatever stands in a history.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from chat_api.dto.request import ChatRequest, HistoryMessage
from chat_api.exceptions.chat_exceptions import FieldProblem, ValidationException

Message = dict[str, str]
_ROLES = ("user", "assistant")


def build_system_message(request: ChatRequest, default: str) -> str:
    """The system message of a request; empty for none.

    Args:
        default: takes the place of an empty ``system_message``.
    """
    memory = [entry.strip() for entry in request.memory_context or () if entry.strip()]
    role, instructions = (request.role or "").strip(), (request.instructions or "").strip()
    parts = (
        (request.system_message or "").strip() or default,
        f"Role: {role}" if role else "",
        "\n".join(["Memory:", *(f"- {entry}" for entry in memory)]) if memory else "",
        f"Instructions: {instructions}" if instructions else "",
    )
    return "\n\n".join(part for part in parts if part)


def read_history(history: Iterable[str | HistoryMessage]) -> list[Message]:
    """The earlier messages.

    A text with ``assistant:`` before it is the assistant's. Any other is the user's, and one with ``system:`` before it
    is the user's as it stands.

    Raises:
        ValidationException: an entry names another role than the user's or the assistant's.
    """
    messages: list[Message] = []
    for place, entry in enumerate(history):
        if isinstance(entry, str):
            role, content = _split_role(entry)
        else:
            role, content = entry.role, entry.content
            if role not in _ROLES:
                field = FieldProblem(f"conversation_history.{place}.role", "role_not_allowed", "user, assistant")
                raise ValidationException("role_not_allowed", fields=[field])
        if content.strip():
            messages.append({"role": role, "content": content})
    return messages


def _split_role(text: str) -> tuple[str, str]:
    head, mark, rest = text.partition(":")
    role = head.strip().lower() if mark and len(head) <= 12 else ""
    return (role, rest.strip()) if role in _ROLES else ("user", text)


def join_neighbours(messages: Sequence[Message]) -> list[Message]:
    """The same messages with those of one role in a row as one: many models' templates refuse them otherwise."""
    joined: list[Message] = []
    for message in messages:
        if joined and joined[-1]["role"] == message["role"]:
            joined[-1] = {**message, "content": f"{joined[-1]['content']}\n\n{message['content']}"}
        else:
            joined.append(message)
    return joined


def split_turns(history: Sequence[Message]) -> list[list[Message]]:
    """A history as turns, each of which begins with the user but perhaps the first."""
    turns: list[list[Message]] = []
    for message in history:
        if message["role"] == "user" or not turns:
            turns.append([message])
        else:
            turns[-1].append(message)
    return turns


def assemble(system: str, turns: Iterable[Sequence[Message]], question: str) -> list[Message]:
    """Everything that the model is sent."""
    history = [message for turn in turns for message in turn]
    first = [{"role": "system", "content": system}] if system else []
    return [*first, *join_neighbours([*history, {"role": "user", "content": question}])]


def quote_summary(summary: str) -> list[list[Message]]:
    """A summary of what came before, as a turn of the user's: it was made of what users and models wrote."""
    return [[{"role": "user", "content": f"(Summary of our earlier conversation: {summary})"}]] if summary else []


def write_transcript(summary: str, turns: Iterable[Sequence[Message]], most_bytes: int) -> str:
    """What is to be summarised, as one text; of one that is too long, the end."""
    lines = [f"{message['role']}: {message['content']}" for turn in turns for message in turn]
    text = "\n".join([f"Before: {summary}", *lines] if summary else lines).encode()
    return text[-most_bytes:].decode(errors="ignore")
