"""A command in a container, to its end, with all that it wrote.

The client's own ``exec_run`` reads past what came in one piece with the head of the engine's answer. So the output's
beginning, or all of it, is missing where the machine is busy: of 13 of 160 commands that four threads ran (docker 7.1).

Does I/O: asks the engine.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, cast

from stackctl.core.stack.runtime import CompletedCommand

if TYPE_CHECKING:
    from docker import DockerClient
    from docker.models.containers import Container

# Of the engine's API (POST /exec/{id}/start): what comes in pieces, each behind its stream's number and its length.
_HEAD_BYTES = 8
_STDERR = 2


def run_inside(container: Container, argv: Sequence[str]) -> CompletedCommand:
    """Run a command as the container's own user.

    Raises:
        APIError: the container does not run.
    """
    from docker.errors import create_api_error_from_http_exception  # imported late, as in compose_runtime
    from requests import HTTPError

    api = cast("DockerClient", container.client).api
    identity = api.exec_create(container.id, list(argv))["Id"]
    url = f"{api.base_url}/v{api.api_version}/exec/{identity}/start"
    answer = api.post(url, json={"Detach": False, "Tty": False}, timeout=api.timeout)
    try:
        answer.raise_for_status()
    except HTTPError as error:
        create_api_error_from_http_exception(error)
    stdout, stderr = split_output(answer.content)
    return CompletedCommand(tuple(argv), api.exec_inspect(identity)["ExitCode"] or 0, stdout, stderr)


def split_output(content: bytes) -> tuple[str, str]:
    """The text of both streams, of what the engine sends of them."""
    pieces: tuple[list[bytes], list[bytes]] = ([], [])
    while content:
        end = _HEAD_BYTES + int.from_bytes(content[4:_HEAD_BYTES], "big")
        pieces[content[0] == _STDERR].append(content[_HEAD_BYTES:end])
        content = content[end:]
    stdout, stderr = (b"".join(each).decode(errors="replace") for each in pieces)
    return stdout, stderr
