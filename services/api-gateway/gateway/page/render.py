"""The page as HTML, and the files that it needs. Does I/O: reads files of this package, each once.

What a person is to replace, or a script fills in once it knows it, stands in elements of its own: ``data-slot``.
"""

from __future__ import annotations

import functools
import html
import json
import re
from pathlib import Path
from string import Template
from typing import Any

_FOLDER = Path(__file__).parent / "files"
_TYPES = {".css": b"text/css; charset=utf-8", ".js": b"text/javascript; charset=utf-8"}
# What the page's own address has below /page/.
FILES = ("style.css", "app.js", "chat.js", "client.js", "markdown.js", "models.js", "settings.js", "words.js")
_PLACES = {
    "key": "<KEY>",
    "model": "<MODEL>",
    "context": "<CONTEXT>",
    "output": "<OUTPUT>",
    "embed": "<EMBEDDING-MODEL>",
}
_PLACE = re.compile(r"\{\{(url|key|model|context|output|embed)\}\}")
# Nothing from elsewhere, no script in the text, and no way for one to make markup of text.
SECURITY_HEADERS = (
    (
        b"content-security-policy",
        b"default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; base-uri 'none'; "
        b"form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'; trusted-types 'none'",
    ),
    (b"x-content-type-options", b"nosniff"),
    (b"x-frame-options", b"DENY"),
    (b"referrer-policy", b"no-referrer"),
    (b"cross-origin-opener-policy", b"same-origin"),
    (b"cross-origin-resource-policy", b"same-origin"),
    (b"cache-control", b"no-store"),
)


@functools.cache
def read_file(name: str) -> tuple[bytes, bytes]:
    """The content of one of ``FILES``, and its content type."""
    return (_FOLDER / name).read_bytes(), _TYPES[Path(name).suffix]


def render_page(authority: str, scheme: str, language: str) -> bytes:
    """The page, in UTF-8.

    Args:
        authority: host and port that it was asked for under, with nothing in it that HTML has a meaning for.
    """
    words, origin = _read_words(language), f"{scheme}://{authority}"
    escaped = {name: html.escape(value) for name, value in words.items() if isinstance(value, str)}
    tools = "".join(_render_tool(tool, words, origin) for tool in _read_json("tools.json"))
    scripted = html.escape(json.dumps(words["script"], ensure_ascii=False))
    page = Template((_FOLDER / "index.html").read_text(encoding="utf-8"))
    return page.substitute(escaped, language=language, origin=origin, tools=tools, script_words=scripted).encode()


@functools.cache
def _read_json(name: str) -> Any:
    return json.loads((_FOLDER / name).read_text(encoding="utf-8"))


def _read_words(language: str) -> dict[str, Any]:
    words: dict[str, Any] = _read_json(f"words.{language}.json")
    return words


def _render_tool(tool: dict[str, Any], words: dict[str, Any], origin: str) -> str:
    standing = "cannot" if tool["obstacle"] else "tried_with" if tool["checked"] else "untried"
    facts = {"version": tool["checked"], "date": tool["checked_on"]}
    facts["why"] = words["notes"].get(tool["obstacle"], tool["obstacle"])
    checked = words[standing]
    for name, value in facts.items():
        checked = checked.replace(f"{{{name}}}", value)
    parts = [_render_part(part, words, origin, tool["title"]) for part in tool["parts"]]
    if "parts_with_vectors" in tool:
        more = "".join(_render_part(part, words, origin, tool["title"]) for part in tool["parts_with_vectors"])
        parts = [f'<div data-vectors="no">{"".join(parts)}</div><div data-vectors="yes" hidden>{more}</div>']
    notes = "".join(f"<p>{_fill(words['notes'].get(note, note), origin)}</p>" for note in tool["notes"])
    needs = f'data-context="{tool["needs_context"]}" data-calls="{"yes" if tool["needs_tools"] else ""}"'
    return (
        f'<details class="tool" id="tool-{html.escape(tool["name"])}" {needs}>'
        f"<summary>{html.escape(tool['title'])}</summary>"
        f'<p class="warning" data-trouble hidden></p>{"".join(parts)}{notes}'
        f'<p class="aside">{html.escape(checked)}</p></details>\n'
    )


def _render_part(part: dict[str, str], words: dict[str, Any], origin: str, title: str) -> str:
    heading = html.escape(words[f"part_{part['kind']}"]).replace("{path}", f"<code>{html.escape(part['path'])}</code>")
    label = html.escape(words["settings_of"].replace("{tool}", title))
    return (
        f"<p>{heading}</p>"
        f'<div class="copied"><pre tabindex="0" role="group" aria-label="{label}"><code>{_fill(part["text"], origin)}'
        f'</code></pre><button type="button" data-copy hidden>{html.escape(words["copy"])}</button></div>'
    )


def _fill(text: str, origin: str) -> str:
    """Escaped, each place an element that a script can fill."""

    def put(found: re.Match[str]) -> str:
        name = found[1]
        return f'<span data-slot="{name}">{origin if name == "url" else html.escape(_PLACES[name])}</span>'

    return _PLACE.sub(put, html.escape(text, quote=False))
