"""HTTP to providers, as the gateway reaches them: through the company's proxy, with its certificates. Does I/O.

In: a question. Out: what was answered, or why nothing was, in terms that say what to do.
"""

from __future__ import annotations

import re
import socket
import ssl
import time
from pathlib import Path

import httpx

from stackctl.adapters.http.download import load_client
from stackctl.core.health.provider_questions import Question
from stackctl.core.health.providers import Failure, ProviderReply


def ask_provider(question: Question, timeout_s: float, ca_bundle: Path | None = None) -> ProviderReply:
    """Ask once; redirects are not followed, because the key would go with them.

    Args:
        timeout_s: longest time to connect, and longest silence.
        ca_bundle: PEM file of a certificate authority that is trusted beside the system's own.
    """
    client = load_client(ca_bundle)
    method = "GET" if question.body is None else "POST"
    headers = {"accept-encoding": "identity", **question.headers}
    begun = time.monotonic()
    try:
        answer = client.request(method, question.url, headers=headers, json=question.body, timeout=timeout_s)
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        failure = _classify(error)
        detail = f"no answer within {timeout_s:g} s" if failure == "timed out" else _describe(error)
        return ProviderReply(0, failure=failure, detail=detail, elapsed_s=time.monotonic() - begun)
    return ProviderReply(answer.status_code, answer.text, elapsed_s=time.monotonic() - begun)


def _classify(error: Exception) -> Failure:
    causes = _list_causes(error)
    if isinstance(error, httpx.TimeoutException):
        return "timed out"
    if any(isinstance(cause, socket.gaierror) for cause in causes):
        return "unknown name"
    if any(isinstance(cause, ssl.SSLError) for cause in causes) or "CERTIFICATE" in str(error):
        return "wrong certificate"
    if isinstance(error, httpx.ProxyError):
        return "proxy"
    return "refused" if isinstance(error, httpx.ConnectError) else "broken"


def _list_causes(error: BaseException) -> list[BaseException]:
    found: list[BaseException] = []
    current: BaseException | None = error
    while current is not None and current not in found:
        found.append(current)
        current = current.__cause__ or current.__context__
    return found


def _describe(error: Exception) -> str:
    return re.sub(r"^\[Errno -?\d+\] ", "", str(error)).rstrip(".") or type(error).__name__
