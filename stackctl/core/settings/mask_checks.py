"""Whether the operator's masks can be used, before the gateway starts. Pure.

How long an expression takes is not for a check to say: the gateway masks in a process of its own, in bounded time.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from stackctl.core.settings.stackfile import StackFile
from stackctl.errors import Finding

MOST_MASKS, MOST_CHARACTERS = 50, 500


def check_masks(stackfile: StackFile) -> Iterator[Finding]:
    """A finding for each mask that is no expression or hides nothing, and for too many of them."""
    masks = stackfile.content_log.mask
    if len(masks) > MOST_MASKS:
        yield Finding("content_log.mask", f"has {len(masks)} masks; expected at most {MOST_MASKS}", "join some with |")
    for name, pattern in masks.items():
        subject = f"content_log.mask.{name}"
        if len(pattern) > MOST_CHARACTERS:
            yield Finding(
                subject, f"has {len(pattern)} characters; expected at most {MOST_CHARACTERS}", "write several"
            )
            continue
        try:
            matches_nothing = re.compile(pattern).match("") is not None
        except (re.error, RecursionError, OverflowError) as error:
            hint = "write it in single quotes, so that YAML leaves its backslashes alone"
            yield Finding(subject, f"is no regular expression of Python: {error}", hint)
            continue
        if matches_nothing:
            yield Finding(subject, "matches the empty text", "let it match one character at least: + for *")
