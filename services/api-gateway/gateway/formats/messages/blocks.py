"""Content blocks of a request as parts of a chat message: texts, images and documents. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from gateway.formats.messages.refusal import refuse, unsupported

Part = dict[str, Any]

_IMAGE_SCHEMES = ("http://", "https://", "data:image/")


def list_blocks(content: Any, path: str) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Path and block of each block of a content; a text stands for one text block.

    Raises:
        RefusedError: the content is neither a text nor a list of blocks.
    """
    if isinstance(content, str):
        yield path, {"type": "text", "text": content}
        return
    if not isinstance(content, list):
        raise refuse(path, "a text or a list of content blocks is expected")
    for place, block in enumerate(content):
        if not isinstance(block, Mapping) or not isinstance(block.get("type"), str):
            raise refuse(f"{path}.{place}", "a content block with a type is expected")
        yield f"{path}.{place}", block


def build_parts(block: Mapping[str, Any], path: str) -> list[Part]:
    """The parts of a chat message for one block that may stand in a user's turn or in the result of a tool.

    Raises:
        RefusedError: the block is of a kind that chat completions do not have, or malformed.
    """
    kind = block["type"]
    if kind == "text":
        text = read_text(block, "text", path)
        return [{"type": "text", "text": text}] if text else []
    if kind == "image":
        return [{"type": "image_url", "image_url": {"url": _read_image(block, path)}}]
    if kind == "document":
        return _build_document(block, path)
    if kind == "search_result":
        return _build_search_result(block, path)
    raise unsupported(f"{path}.type", f"content blocks of type '{kind[:80]}' are not served here")


def read_text(block: Mapping[str, Any], name: str, path: str) -> str:
    """A text of a block; a block without it is malformed."""
    text = block.get(name)
    if not isinstance(text, str):
        raise refuse(f"{path}.{name}", "a text is expected")
    return text


def join_parts(parts: list[Part]) -> str | list[Part]:
    """A chat message's content: one text where all parts are texts, which every server and template takes.

    Texts are joined by a line end, as llama.cpp and vLLM do for templates that take one text.
    """
    if all(part["type"] == "text" for part in parts):
        return "\n".join(part["text"] for part in parts)
    return parts


def _read_source(block: Mapping[str, Any], path: str) -> Mapping[str, Any]:
    source = block.get("source")
    if not isinstance(source, Mapping):
        raise refuse(f"{path}.source", "an object is expected")
    return source


def _read_image(block: Mapping[str, Any], path: str) -> str:
    source, path = _read_source(block, path), f"{path}.source"
    kind = source.get("type")
    if kind == "base64":
        media, data = read_text(source, "media_type", path), read_text(source, "data", path)
        if not media.startswith("image/"):
            raise refuse(f"{path}.media_type", "a type of image is expected, such as image/png")
        return f"data:{media};base64,{data}"
    if kind == "url":
        url = read_text(source, "url", path)
        if not url.startswith(_IMAGE_SCHEMES):
            raise refuse(f"{path}.url", "an address with http or https is expected")
        return url
    raise unsupported(f"{path}.type", "images are taken as base64 or url")


def _build_document(block: Mapping[str, Any], path: str) -> list[Part]:
    """A document of text, written out between tags, with its title and context."""
    _refuse_citations(block, path)
    source, source_path = _read_source(block, path), f"{path}.source"
    kind = source.get("type")
    parts: list[Part]
    if kind == "text":
        parts = [{"type": "text", "text": read_text(source, "data", source_path)}]
    elif kind == "content":
        inner = f"{source_path}.content"
        parts = _build_inner(source.get("content"), inner, ("text", "image"))
    else:
        raise unsupported(
            f"{source_path}.type", "documents are taken as text; a PDF has to be sent as its text or as images"
        )
    heads = [f"{name}: {block[name]}" for name in ("title", "context") if isinstance(block.get(name), str)]
    return _wrap("document", heads, parts)


def _build_search_result(block: Mapping[str, Any], path: str) -> list[Part]:
    _refuse_citations(block, path)
    heads = [f"{name}: {read_text(block, name, path)}" for name in ("title", "source")]
    parts = _build_inner(block.get("content"), f"{path}.content", ("text",))
    return _wrap("search_result", heads, parts)


def _build_inner(content: Any, path: str, kinds: tuple[str, ...]) -> list[Part]:
    parts: list[Part] = []
    for at, block in list_blocks(content, path):
        if block["type"] not in kinds:
            raise refuse(f"{at}.type", f"{' or '.join(kinds)} is expected")
        parts += build_parts(block, at)
    return parts


def _wrap(tag: str, heads: list[str], parts: list[Part]) -> list[Part]:
    opening = "\n".join([f"<{tag}>", *heads])
    wrapped = [{"type": "text", "text": opening}, *parts, {"type": "text", "text": f"</{tag}>"}]
    text = join_parts(wrapped)
    return [{"type": "text", "text": text}] if isinstance(text, str) else wrapped


def _refuse_citations(block: Mapping[str, Any], path: str) -> None:
    citations = block.get("citations")
    if isinstance(citations, Mapping) and citations.get("enabled"):
        raise unsupported(f"{path}.citations", "citations are not served here")
