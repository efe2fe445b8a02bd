"""HTTP to services of this stack, or to the gateway of another: one question, one answer, and chat as a stream.

In: URL, key and body. Out: an ``Answer``, or pieces of a chat. Does I/O: HTTP.
"""

from __future__ import annotations

import gzip
import json
import time
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from stackctl.core.health.chat_events import list_pieces, parse_events, read_error, split_lines
from stackctl.core.stack.runtime import Answer, ChatPiece
from stackctl.errors import RuntimeFailure

if TYPE_CHECKING:
    import httpx

# Whoever asks once wants to see whether a server answers now: an answer that the gateway kept would not tell.
_ASKED_ANEW = {"Content-Type": "application/json", "Cache-Control": "no-store"}
# httpx is imported where it is used: it takes 0.1 s, which a start has when services are already on their way.


def fetch(
    url: str,
    *,
    key: str = "",
    timeout_s: float = 5.0,
    body: Mapping[str, Any] | None = None,
    headers: Mapping[str, str] | None = None,
) -> Answer:
    """Ask once; a connection that fails and a time-out are answers with an error, not exceptions.

    Args:
        body: value sent as JSON by POST; without it the request is a GET.
        headers: further headers; with ``content-encoding`` (gzip or zstd) the body is packed so.
    """
    import httpx

    sent = {**({"Authorization": f"Bearer {key}"} if key else {}), **(headers or {})}
    started = time.monotonic()
    try:
        with _open_client(url, timeout_s) as client:
            if body is None:
                answer = client.get(url, headers=sent)
            else:
                answer = client.post(url, headers={**_ASKED_ANEW, **sent}, content=_pack(body, sent))
    except httpx.TimeoutException:
        return Answer(0, error=f"no answer within {timeout_s:g} s", elapsed_s=time.monotonic() - started)
    except httpx.HTTPError as error:
        return Answer(0, error=str(error) or type(error).__name__, elapsed_s=time.monotonic() - started)
    return Answer(answer.status_code, answer.text, elapsed_s=time.monotonic() - started)


def _pack(body: Mapping[str, Any], headers: Mapping[str, str]) -> bytes:
    data = json.dumps(body, ensure_ascii=False).encode()
    match headers.get("content-encoding"):
        case "gzip":
            return gzip.compress(data)
        case "zstd":
            return _frame_zstd(data)
        case _:
            return data


def _frame_zstd(data: bytes) -> bytes:
    """A frame of zstd (RFC 8878) whose one block holds the data as they are.

    Args:
        data: less than 128 KiB, the most that a block may hold.
    """
    magic, single_segment_of_four_bytes, last_raw_block = b"\x28\xb5\x2f\xfd", b"\xa0", 1
    size = len(data)
    header = magic + single_segment_of_four_bytes + size.to_bytes(4, "little")
    return header + (size << 3 | last_raw_block).to_bytes(3, "little") + data


def stream_chat(url: str, key: str, body: Mapping[str, Any], timeout_s: float) -> Iterator[ChatPiece]:
    """A streamed chat completion, piece by piece; the last one has the number of tokens.

    Raises:
        RuntimeFailure: nothing answered, an error came instead of an answer, or the stream broke off.
    """
    import httpx

    headers = {"Authorization": f"Bearer {key}"}
    streamed = {**body, "stream": True, "stream_options": {"include_usage": True}}
    timeout = httpx.Timeout(timeout_s, connect=5.0)
    try:
        with (
            _open_client(url, timeout) as client,
            client.stream("POST", url, headers=headers, json=streamed) as answer,
        ):
            if answer.status_code != httpx.codes.OK:
                answer.read()
                raise RuntimeFailure(
                    f"The gateway answered {answer.status_code}: {read_error(answer.text)}", "run 'stackctl health'"
                )
            for event in parse_events(split_lines(answer.iter_text())):
                yield from list_pieces(event)
    except httpx.ConnectError as error:
        raise RuntimeFailure(f"Nothing answers at {url}: {error}.", "run 'stackctl up'") from error
    except httpx.HTTPError as error:
        raise RuntimeFailure(
            f"The answer broke off: {str(error) or type(error).__name__}.", "run 'stackctl health'"
        ) from error


def _open_client(url: str, timeout: float | httpx.Timeout) -> httpx.Client:
    """A client that asks directly: a company's proxy settings are for the world outside.

    The certificate store is read for HTTPS alone: it takes 30 ms.
    """
    import ssl

    import httpx

    verify = ssl.create_default_context() if url.lower().startswith("https:") else False
    return httpx.Client(timeout=timeout, trust_env=False, verify=verify)
