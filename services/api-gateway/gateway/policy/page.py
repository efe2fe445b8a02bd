"""Write the page of fields from the tables: ``python -m gateway.policy.page``. Does I/O only there: stdout."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from gateway.policy.fields import TABLES
from gateway.policy.tables.field import Field, Treatment
from gateway.policy.tables.servers import SAMPLING, TEMPLATE
from gateway.policy.tables.steering import STEERING, STEERING_PREFIXES

_HEAD = """# Fields of a request

Written from `services/api-gateway/gateway/policy/tables/` by `make docs`.

A request may hold the fields below and no others. Another one is answered with 400 `unsupported_parameter`, which
names it and the nearest one that is known; a value of the wrong kind with 400 `invalid_parameter`. A field that is
`null` counts as not sent. Errors never repeat a value.

- **passed**: goes to the model's server. Where only some servers know a field, they are named: to OpenAI, Anthropic and
  an engine of the other kind it is not sent. Where the answer would then be another than the client counts on
  (*binding*), the request is refused with 400 instead.
- **left out**: taken and sent to no server, because the answer is the same without it.
- **refused**: 400, unless the value asks for nothing, such as `false`, `[]` or the value named.
- **never**: 400 whatever the value, because it would steer the gateway or a server.
"""
_TITLES: Mapping[str, str] = {
    "chat": "`/v1/chat/completions`",
    "completions": "`/v1/completions`",
    "embeddings": "`/v1/embeddings`",
    "rerank": "`/v1/rerank`",
    "messages": "`/v1/messages` and `/v1/messages/count_tokens`",
    "responses": "`/v1/responses` and `/v1/responses/input_tokens`",
}
_COLUMNS = """
| field | value | | why |
|---|---|---|---|
"""


def render_fields() -> str:
    """The page as Markdown."""
    common = (*SAMPLING, *TEMPLATE, *STEERING)
    parts = [_HEAD]
    for name, title in _TITLES.items():
        own = [field for field in TABLES[name].fields.values() if field not in common]
        parts.append(f"\n## {title}\n{_COLUMNS}{_render_rows(own)}{_name_more(name)}")
    parts.append(f"\n## Sampling and output, as servers know them\n{_COLUMNS}{_render_rows(SAMPLING)}")
    parts.append(f"\n## The chat template\n{_COLUMNS}{_render_rows(TEMPLATE)}")
    prefixes = ", ".join(f"`{prefix}`" for prefix in STEERING_PREFIXES)
    parts.append(f"\n## Never, on every path\n\nAlso every name that begins with {prefixes}.\n{_COLUMNS}")
    parts.append(_render_rows(STEERING))
    return "".join(parts)


def _name_more(name: str) -> str:
    fields = TABLES[name].fields.values()
    groups = [title for title, group in (("sampling", SAMPLING), ("template", TEMPLATE)) if group[0] in fields]
    return f"\nAnd those of {' and '.join(groups)} below.\n" if groups else ""


def _render_rows(fields: Iterable[Field]) -> str:
    return "".join(f"| `{field.name}` | {field.kind} | {_name_treatment(field)} | {field.why} |\n" for field in fields)


def _name_treatment(field: Field) -> str:
    words = [field.treatment.value]
    if field.servers:
        words.append(f"to {' and '.join(sorted(field.servers))}")
    if field.stands_for:
        words.append(f"as `{field.stands_for}`")
    if field.is_required:
        words.append("required")
    if field.is_binding:
        words.append("binding")
    if field.treatment is Treatment.REFUSED and field.harmless:
        words.append("unless " + " or ".join(f"`{value}`" for value in field.harmless))
    return ", ".join(words)


if __name__ == "__main__":
    print(render_fields(), end="")
