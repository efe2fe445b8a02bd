"""Send a tool's own requests to the gateway, one after another. Does I/O through its effects: asks the gateway."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from stackctl.core.connect.verdict import judge
from stackctl.errors import ConfigError
from stackctl.operations.effects import Effects
from stackctl.operations.look.connect import Connected

ANSWER_S = 300.0


@dataclass(frozen=True, slots=True)
class Trial:
    """What came of one request.

    Attributes:
        trouble: why the tool could not go on; empty when it could.
    """

    what: str
    path: str
    trouble: str
    elapsed_s: float


def try_shapes(effects: Effects, connected: Connected, key: str) -> Iterator[Trial]:
    """Each request of a tool, and what came of it.

    Raises:
        ConfigError: nothing is known of this tool's requests.
    """
    tool, gateway = connected.tool, connected.gateway
    if not tool.shapes:
        raise ConfigError(
            f"The requests of {tool.title} are not known here.", "try one that speaks the same format: curl"
        )
    for shape in tool.shapes:
        model = gateway.embed if shape.wire == "embeddings" else gateway.chat.name
        if not model:
            continue  # no model embeds here, and the tool is told of none
        answer = effects.network.fetch(
            gateway.url + shape.path,
            key=key,
            timeout_s=ANSWER_S,
            body={"model": model, **shape.body},
            headers=shape.headers,
        )
        yield Trial(shape.what, shape.path, judge(shape, answer), answer.elapsed_s)
