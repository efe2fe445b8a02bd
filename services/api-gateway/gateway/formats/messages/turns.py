"""The turns of a conversation as chat messages. Pure.

Consecutive turns of one role are one turn, as Anthropic has it: many models' templates refuse anything else. In a
user's turn, the results of tools come first, since they must follow the calls; everything else keeps its order.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import orjson

from gateway.formats.messages.blocks import Part, build_parts, join_parts, list_blocks, read_text
from gateway.formats.messages.refusal import refuse, unsupported

Message = dict[str, Any]
Blocks = list[tuple[str, Mapping[str, Any]]]

# Claude Code's first line, for its maker's accounts. A part of it changes with each request, which would make an
# engine compute the whole prompt again.
_BILLING_LINE = "x-anthropic-billing-header:"


def build_messages(body: Mapping[str, Any], keeps_thinking: bool) -> list[Message]:
    """The chat messages of a request: its system prompt and its turns.

    Args:
        keeps_thinking: whether the model is told what it thought in its earlier turns.

    Raises:
        RefusedError: 400, with the path of what is malformed or cannot be said in a chat completion.
    """
    turns = _group_turns(body.get("messages"))
    system = [_read_system(text) for text in _list_system(body)]
    if turns and turns[0][0] == "system":
        system += [read_text(block, "text", path) for path, block in turns.pop(0)[1]]
    if not turns:
        raise refuse("messages", "at least one message of a user is expected")
    messages: list[Message] = []
    if text := "\n".join(filter(None, system)):
        messages.append({"role": "system", "content": text})
    for role, blocks in _merge_system(turns):
        if role == "user":
            messages += _build_user_turn(blocks)
        else:
            messages.append(_build_assistant_turn(blocks, keeps_thinking))
    if messages[-1].get("tool_calls"):
        raise refuse("messages", "the last one calls tools, and their results are expected after it")
    return messages


def _list_system(body: Mapping[str, Any]) -> list[str]:
    system = body.get("system")
    return [] if system is None else [_read_system_block(path, block) for path, block in list_blocks(system, "system")]


def _read_system_block(path: str, block: Mapping[str, Any]) -> str:
    if block["type"] != "text":
        raise unsupported(f"{path}.type", "a system prompt is made of text blocks")
    return read_text(block, "text", path)


def _read_system(text: str) -> str:
    return text.partition("\n")[2] if text.startswith(_BILLING_LINE) else text


def _group_turns(messages: Any) -> list[tuple[str, Blocks]]:
    if not isinstance(messages, list) or not messages:
        raise refuse("messages", "a list of at least one message is expected")
    turns: list[tuple[str, Blocks]] = []
    for place, message in enumerate(messages):
        path = f"messages.{place}"
        if not isinstance(message, Mapping):
            raise refuse(path, "an object is expected")
        role = message.get("role")
        if role not in ("user", "assistant", "system"):
            raise refuse(f"{path}.role", "user or assistant is expected")
        blocks = list_blocks(message.get("content"), f"{path}.content")
        if role == "system":
            blocks = ((at, {"type": "text", "text": _read_system_block(at, block)}) for at, block in blocks)
        if not turns or turns[-1][0] != role:
            turns.append((role, []))
        turns[-1][1].extend(blocks)
    return turns


def _merge_system(turns: list[tuple[str, Blocks]]) -> list[tuple[str, Blocks]]:
    """System turns in the midst of a conversation said to the model in the user's turn, which every template has."""
    merged: list[tuple[str, Blocks]] = []
    for role, blocks in turns:
        if role == "system":
            role = "user"
            blocks = [(at, {**item, "text": f"<system>\n{item['text']}\n</system>"}) for at, item in blocks]
        if merged and merged[-1][0] == role:
            merged[-1][1].extend(blocks)
        else:
            merged.append((role, list(blocks)))
    return merged


def _build_user_turn(blocks: Blocks) -> list[Message]:
    results: list[Message] = []
    parts: list[Part] = []
    for path, block in blocks:
        if block["type"] == "tool_result":
            result, images = _build_result(block, path, sum(part["type"] == "image_url" for part in parts))
            results.append(result)
            parts += images
        else:
            parts += build_parts(block, path)
    if parts or not results:
        results.append({"role": "user", "content": join_parts(parts)})
    return results


def _build_result(block: Mapping[str, Any], path: str, images_before: int) -> tuple[Message, list[Part]]:
    """The chat message with a tool's result, and the images of it for the user's message that follows.

    A tool's message has only text in OpenAI's format, so each image leaves its name where it was.
    """
    texts: list[str] = []
    images: list[Part] = []
    content = block.get("content")
    for at, item in list_blocks("" if content is None else content, f"{path}.content"):
        if item["type"] == "tool_reference":
            texts.append(f"Tool {read_text(item, 'tool_name', at)} can be called now.")
            continue
        for part in build_parts(item, at):
            if part["type"] == "text":
                texts.append(part["text"])
                continue
            images_before += 1
            name = f"[image {images_before}]"
            texts.append(name)
            images += [{"type": "text", "text": name}, part]
    text = "\n".join(texts)
    if block.get("is_error") is True and text[:5].lower() != "error":
        text = f"Error: {text}" if text else "Error"
    return {"role": "tool", "tool_call_id": read_text(block, "tool_use_id", path), "content": text}, images


def _build_assistant_turn(blocks: Blocks, keeps_thinking: bool) -> Message:
    texts: list[str] = []
    thoughts: list[str] = []
    calls: list[dict[str, Any]] = []
    for path, block in blocks:
        kind = block["type"]
        if kind == "text":
            texts.append(read_text(block, "text", path))
        elif kind == "thinking":
            thoughts.append(read_text(block, "thinking", path))
        elif kind == "tool_use":
            calls.append(_build_call(block, path))
        elif kind != "redacted_thinking":  # which only its maker can read
            raise unsupported(f"{path}.type", f"content blocks of type '{kind[:80]}' are not served here")
    text = "\n".join(filter(None, texts))
    message: Message = {"role": "assistant", "content": text if text or not calls else None}
    if keeps_thinking and any(thoughts):
        message["reasoning_content"] = "\n".join(filter(None, thoughts))
    if calls:
        message["tool_calls"] = calls
    return message


def _build_call(block: Mapping[str, Any], path: str) -> dict[str, Any]:
    given = block.get("input")
    if not isinstance(given, Mapping):
        raise refuse(f"{path}.input", "an object is expected")
    try:
        arguments = orjson.dumps(given).decode()
    except orjson.JSONEncodeError as error:
        raise refuse(f"{path}.input", "it is nested too deeply") from error
    function = {"name": read_text(block, "name", path), "arguments": arguments}
    return {"id": read_text(block, "id", path), "type": "function", "function": function}
