"""The gateway's admin route over HTTP: one action, its answer. Does I/O: HTTP to an address of this stack.

In: the gateway's URL, the admin key, an action. Out: an ``AdminReply``; ``None`` where nothing listens.
"""

from __future__ import annotations

import errno
from collections.abc import Mapping
from typing import Any

import httpx

from stackctl.core.access.replies import AdminReply, parse_reply
from stackctl.errors import RuntimeFailure

CONNECT_S = 5.0


def post_action(url: str, key: str, action: Mapping[str, Any], timeout_s: float) -> AdminReply | None:
    """Ask the running gateway to do one action.

    Args:
        url: base URL of the gateway.
        timeout_s: longest silence.

    Returns:
        Its answer; ``None`` where the connection was refused, so that no gateway runs.

    Raises:
        RuntimeFailure: a gateway is there and does not answer, or cannot be reached.
    """
    timeout = httpx.Timeout(timeout_s, connect=CONNECT_S)
    headers = {"Authorization": f"Bearer {key}"}
    try:
        # A company's proxy settings and certificates are for the world outside; the gateway is on this machine.
        with httpx.Client(timeout=timeout, trust_env=False, verify=False) as client:  # noqa: S501
            answer = client.post(f"{url}/admin", headers=headers, json=dict(action))
    except httpx.TimeoutException as error:
        seen = f"no answer within {CONNECT_S if isinstance(error, httpx.ConnectTimeout) else timeout_s:g} s"
        raise RuntimeFailure(f"The gateway at {url} hangs: {seen}.", "run 'stackctl restart api-gateway'") from error
    except httpx.HTTPError as error:
        if isinstance(error, httpx.ConnectError) and _is_refused(error):
            return None
        seen = str(error) or type(error).__name__
        raise RuntimeFailure(f"The gateway at {url} does not answer: {seen}.", "run 'stackctl health'") from error
    return parse_reply(answer.status_code, answer.text)


def _is_refused(error: BaseException | None) -> bool:
    """Whether the machine answered that nobody listens: a name that is unknown or a lost route is something else."""
    while error is not None:
        if isinstance(error, OSError) and error.errno == errno.ECONNREFUSED:
            return True
        error = error.__cause__ or error.__context__
    return False
