"""Asking a server of OpenAI's format that somebody runs: whether to, its models, one short chat.

The shell's environment says what to ask, under the names of the tools that have such a test, as `export` sets them.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import httpx

SWITCHES = ("STACK_SMOKE", "MYCODER_LMSTUDIO_SMOKE")
ADDRESS, KEY, MODEL = "MYCODER_OPENAI_BASE_URL", "MYCODER_OPENAI_API_KEY", "MYCODER_CHAT_MODEL"
MODELS_TIMEOUT_S = 3.0
# The server may have to load the model first.
CHAT_TIMEOUT_S = 120.0


def find_reason(environ: Mapping[str, str]) -> str:
    """Why no server is to be asked; empty where one is."""
    if not any(environ.get(name) in ("1", "true") for name in SWITCHES):
        return f"asks a server only where {' or '.join(f'{name}=1' for name in SWITCHES)} is exported"
    return "" if environ.get(ADDRESS) else f"{ADDRESS} is not exported, which says what server to ask"


def list_models(environ: Mapping[str, str], timeout_s: float = MODELS_TIMEOUT_S) -> list[str]:
    """The models that the server lists.

    Raises:
        AssertionError: it does not answer in time, or not as OpenAI's format says; without the key.
    """
    answer = _read(_send(environ, "GET", "models", timeout_s))
    models = answer.get("data") if isinstance(answer, dict) else None
    assert isinstance(models, list), f"/models answers {answer!r:.200}; expected an object with a list 'data'"
    names = [model.get("id") for model in models if isinstance(model, dict)]
    assert names, "/models lists no model; load one"
    return [str(name) for name in names]


def ask(environ: Mapping[str, str]) -> str:
    """What MYCODER_CHAT_MODEL says to one short question, its thoughts included.

    Raises:
        AssertionError: no answer with text came.
    """
    body = {"model": environ[MODEL], "messages": [{"role": "user", "content": "Say pong."}], "max_tokens": 16}
    answer = _read(_send(environ, "POST", "chat/completions", CHAT_TIMEOUT_S, body))
    choices = answer.get("choices") if isinstance(answer, dict) else None
    assert choices, f"/chat/completions answers {answer!r:.200}; expected 'choices'"
    message = choices[0]["message"]
    text = f"{message.get('reasoning_content') or ''}{message.get('content') or ''}"
    assert text, f"the answer has no text: {message!r:.200}"
    return text


def _send(
    environ: Mapping[str, str], method: str, path: str, timeout_s: float, body: dict[str, Any] | None = None
) -> httpx.Response:
    url = f"{environ[ADDRESS].rstrip('/')}/{path}"
    headers = {"Authorization": f"Bearer {environ[KEY]}"} if environ.get(KEY) else {}
    try:
        return httpx.request(method, url, headers=headers, json=body, timeout=timeout_s)
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        kind = type(error).__name__
    # Raised here, so that no traceback shows the request.
    raise AssertionError(f"{url} does not answer within {timeout_s:g} s ({kind})")


def _read(response: httpx.Response) -> Any:
    assert response.status_code == 200, f"{response.url} answers {response.status_code}: {response.text:.200}"
    try:
        return response.json()
    except ValueError:
        raise AssertionError(f"{response.url} answers no JSON: {response.text:.200}") from None
