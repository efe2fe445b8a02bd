"""Other names of served ones: what must hold of them. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from stackctl.errors import Finding, suggest_nearest

WILDCARD = "*"


def matches_alias(match: str, name: str) -> bool:
    """Whether an alias stands for a name; ``*`` is any run of characters, also none."""
    # By hand: a regular expression of many stars takes time without end on a name that almost matches.
    first, *middle = match.split(WILDCARD)
    if not middle:
        return name == match
    last = middle.pop()
    if not (name.startswith(first) and name.endswith(last) and len(name) >= len(first) + len(last)):
        return False
    at, end = len(first), len(name) - len(last)
    for part in middle:
        found = name.find(part, at, end)
        if found < 0:
            return False
        at = found + len(part)
    return True


def covers_alias(first: str, second: str) -> bool:
    """Whether every name that ``second`` stands for is one that ``first`` stands for.

    A ``*`` of ``second`` is a run that only a ``*`` of ``first`` can take, so that it is matched as any character.
    """
    return matches_alias(first, second)


def check_aliases(aliases: Mapping[str, str], served: Iterable[str]) -> list[Finding]:
    """Check that each alias leads to a served name, is none itself, and can be reached.

    Args:
        aliases: alias to served name, in the order they are looked up; served names come before all of them.
        served: names of all routes.
    """
    names = list(served)
    return [
        Finding(f"aliases.{match}", message, hint, file="stack.yml")
        for index, (match, name) in enumerate(aliases.items())
        for message, hint in _check_alias(match, name, names, list(aliases)[:index])
    ]


def _check_alias(match: str, name: str, names: list[str], before: list[str]) -> Iterator[tuple[str, str]]:
    if match in names:
        yield f"'{match}' is a served name, which it would hide", "rename the alias, or give that name a route"
    if name not in names:
        yield f"'{name}' is no served name", suggest_nearest(name, names) or f"served are: {', '.join(names)}"
    for other in before:
        if covers_alias(other, match):
            yield f"is never reached: '{other}' above it stands for the same names", f"move it above '{other}'"
            break
