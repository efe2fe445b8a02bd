"""What an answer needs of HTTP beside its content: the request's id, the right address, methods, CORS. Pure.

In: a request's method, path and headers. Out: header lists, and the errors that name the right address or method.
"""

from __future__ import annotations

import re
import secrets
from collections.abc import Collection, Iterable

from gateway.edge.endpoints import ENDPOINTS, MODELS_PATH, ONE_MODEL, Endpoint
from gateway.edge.packing import ACCEPTED_ENCODINGS
from gateway.errors import ApiError

HeaderList = Iterable[tuple[bytes, bytes]]
Headers = list[tuple[bytes, bytes]]

# Enough for every tracing system's ids, and nothing that could break a log line or a header.
_REQUEST_ID = re.compile(rb"[A-Za-z0-9._:/+=@~-]{1,128}")
_TOKENS = re.compile(rb"[A-Za-z0-9!#$%&'*+.^_`|~-]+(?:[ \t]*,[ \t]*[A-Za-z0-9!#$%&'*+.^_`|~-]+)*")
_PREFLIGHT_AGE_S = 600
_MAX_SEGMENTS = 16

# Paths without their /v1, and what clients of Ollama ask for.
_TAILS = {name.removeprefix("/v1/").removeprefix("/"): endpoint for name, endpoint in ENDPOINTS.items()} | {
    "api/chat": ENDPOINTS["/v1/chat/completions"],
    "api/generate": ENDPOINTS["/v1/completions"],
    "api/embed": ENDPOINTS["/v1/embeddings"],
    "api/tags": ENDPOINTS[MODELS_PATH],
}


def choose_request_id(headers: HeaderList) -> str:
    """The client's own ``x-request-id`` when it is 1 to 128 safe characters, else a new one."""
    given = _find(headers, b"x-request-id")
    return given.decode() if given and _REQUEST_ID.fullmatch(given) else f"req_{secrets.token_hex(16)}"


def find_intended(path: str) -> Endpoint | None:
    """The endpoint that a wrong path means: with slashes too many, ``/v1`` missing, doubled or after another prefix."""
    segments = [segment for segment in path.lower().split("/") if segment][-_MAX_SEGMENTS:]
    for start in range(len(segments)):
        if endpoint := _TAILS.get("/".join(segments[start:])):
            return endpoint
    is_model = "models" in segments[:-1] and not path.startswith(f"{MODELS_PATH}/")
    return ONE_MODEL if is_model else None


def explain_path(path: str) -> ApiError:
    """404 for a path that is none, with the address that was probably meant.

    No redirect: clients drop the key or turn a POST into a GET on the way.
    """
    intended = find_intended(path)
    hint = f" Did you mean {intended.method} {intended.name}?" if intended else f" {MODELS_PATH} lists the models."
    return ApiError(404, "unknown_route", f"There is no such route.{hint}")


def explain_method(endpoint: Endpoint) -> ApiError:
    """405 for a method that an endpoint does not take."""
    return ApiError(405, "method_not_allowed", f"{endpoint.name} takes {endpoint.method} only.")


def list_methods(endpoint: Endpoint) -> bytes:
    """The value of ``Allow``: HEAD is where GET is, and OPTIONS is everywhere."""
    return b"GET, HEAD, OPTIONS" if endpoint.method == "GET" else f"{endpoint.method}, OPTIONS".encode()


def list_error_headers(error: ApiError, endpoint: Endpoint | None) -> Headers:
    """What a client needs beside an error's words to do better."""
    if error.status == 401:
        return [(b"www-authenticate", b"Bearer")]
    if error.status == 405 and endpoint:
        return [(b"allow", list_methods(endpoint))]
    if error.status in (408, 413):  # the rest of the body is not read
        return [(b"connection", b"close")]
    if error.code == "unsupported_encoding":
        return [(b"accept-encoding", ACCEPTED_ENCODINGS.encode())]
    return []


def list_cors_headers(headers: HeaderList, origins: Collection[str]) -> Headers:
    """The headers that let a page of an allowed origin read the answer; none at all without allowed origins.

    Args:
        origins: such as ``https://chat.example``; ``*`` allows every page. Keys travel in a header that a page must
            know, never in a cookie, so credentials stay disallowed.
    """
    if not origins:
        return []
    vary = [] if "*" in origins else [(b"vary", b"Origin")]
    origin = _find(headers, b"origin")
    if not origin or ("*" not in origins and origin.decode("latin-1") not in origins):
        return vary
    allowed = b"*" if "*" in origins else origin
    return [*vary, (b"access-control-allow-origin", allowed), (b"access-control-expose-headers", b"*")]


def list_options_headers(headers: HeaderList, endpoint: Endpoint, origins: Collection[str]) -> Headers:
    """What the answer to OPTIONS, 204 without a key, says beside ``list_cors_headers``."""
    headers = list(headers)
    answer = [(b"allow", list_methods(endpoint))]
    asked_method = _find(headers, b"access-control-request-method")
    if not asked_method or len(list_cors_headers(headers, origins)) < 2:
        return answer
    answer += [
        (b"access-control-allow-methods", list_methods(endpoint)),
        (b"access-control-max-age", b"%d" % _PREFLIGHT_AGE_S),
    ]
    # The SDKs send headers of their own, more with each release; what they say is not what is obeyed.
    asked = _find(headers, b"access-control-request-headers")
    if asked and _TOKENS.fullmatch(asked):
        answer.append((b"access-control-allow-headers", asked))
    if _find(headers, b"access-control-request-private-network") == b"true":
        answer.append((b"access-control-allow-private-network", b"true"))
    return answer


def _find(headers: HeaderList, name: bytes) -> bytes | None:
    return next((value.strip() for key, value in headers if key == name), None)
