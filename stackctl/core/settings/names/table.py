"""The names that other tools read from `.env`, in one class: the home of each one's meaning, values and place. Pure.

They are the names of two documents that teams already have: LLM_* with ENVIRONMENT (an internal API in production,
Ollama in development) and MYCODER_* (one OpenAI-compatible server). They count from `.env` alone: a shell has an
ENVIRONMENT or a USER_ID of its own, which must change nothing. values.py reads them, overlay.py makes of them what
``becomes`` says, a bundle leaves those at home that are secret or of one machine.
"""

from __future__ import annotations

from dataclasses import Field, dataclass, field, fields
from types import MappingProxyType
from typing import Any, Final


def _name(
    default: Any,
    help_text: str,
    *,
    group: str,
    becomes: str,
    needs: str = "",
    choices: tuple[str, ...] = (),
    bounds: tuple[float, float] | None = None,
    unit: str = "",
    pattern: str = "",
    expected: str = "",
    secret: bool = False,
    of_machine: bool = True,
) -> Any:
    """A dataclass field that carries all that is known about one name; its default means that it is not there.

    Args:
        becomes: the key of `stack.yml` or the setting that it decides; empty where it is no single one.
        needs: the name without which it changes nothing.
        of_machine: whether it is about one machine or site, so that no bundle takes it to another.
    """
    metadata = {
        "help": help_text,
        "group": group,
        "becomes": becomes,
        "needs": needs,
        "choices": choices,
        "bounds": bounds,
        "unit": unit,
        "pattern": pattern,
        "expected": expected,
        "secret": secret,
        "generated": False,
        "several": False,
        "of_machine": of_machine,
    }
    return field(default=default, metadata=metadata, repr=not secret)


_ADDRESS = r"https?://[^\s/@?#]+(/[^\s@?#]*)?"
_ADDRESS_TEXT = "an address such as http://host:port/v1, without a user name"
_WORD = r"\S+"
_WORD_TEXT = "a name without spaces"
_TEMPERATURE = r"(0|1)?(\.[0-9]{1,4})|[0-2](\.0{1,4})?"

_LOCAL_CHAT = "What `local-chat` means"
_INTERNAL = "The company's internal API"
_OLLAMA = "Ollama"
_VLLM = "vLLM"
_OPENAI = "LM Studio, OpenAI, or another server of OpenAI's format"
_REQUESTS = "Requests for `local-chat`"
_GATEWAY = "The gateway, and tests"


@dataclass(frozen=True, slots=True)
class EnvironmentNames:
    """The names' values; a field's name in upper case is the name in `.env`."""

    environment: str = _name(
        "",
        "`production`: the internal API, then Ollama where it is configured. `development`: Ollama. Not set: this"
        " stack's own engine, which with ENVIRONMENT is served as `engine-chat`.",
        group=_LOCAL_CHAT,
        becomes="routes.local-chat.targets",
        choices=("production", "development"),
    )

    internal_llm_base_url: str = _name(
        "",
        "Base URL; without a path, `/v1` is put behind it.",
        group=_INTERNAL,
        becomes="providers.internal.api_base",
        pattern=_ADDRESS,
        expected=_ADDRESS_TEXT,
    )
    internal_llm_api_key: str = _name(
        "",
        "Key that the API asks for.",
        group=_INTERNAL,
        becomes="providers.internal.api_key",
        needs="INTERNAL_LLM_BASE_URL",
        secret=True,
    )
    internal_llm_model: str = _name(
        "",
        "The API's own name of the model, served as `internal-chat`.",
        group=_INTERNAL,
        becomes="providers.internal.models.internal-chat",
        needs="INTERNAL_LLM_BASE_URL",
        pattern=_WORD,
        expected=_WORD_TEXT,
    )
    internal_llm_ticket: str = _name(
        "",
        "The department's ticket.",
        group=_INTERNAL,
        becomes="providers.internal.ticket",
        needs="INTERNAL_LLM_BASE_URL",
        secret=True,
    )
    user_id: str = _name(
        "",
        "User on whose behalf the API is asked.",
        group=_INTERNAL,
        becomes="providers.internal.user_id",
        needs="INTERNAL_LLM_BASE_URL",
    )
    user_type: str = _name(
        "",
        "Kind of that user, such as `AD`.",
        group=_INTERNAL,
        becomes="providers.internal.user_type",
        needs="INTERNAL_LLM_BASE_URL",
    )

    ollama_base_url: str = _name(
        "",
        "Ollama's address, such as `http://localhost:11434`.",
        group=_OLLAMA,
        becomes="providers.ollama.api_base",
        pattern=_ADDRESS,
        expected=_ADDRESS_TEXT,
    )
    ollama_model: str = _name(
        "",
        "A model that was pulled there, served as `ollama-chat`.",
        group=_OLLAMA,
        becomes="providers.ollama.models.ollama-chat",
        needs="OLLAMA_BASE_URL",
        pattern=_WORD,
        expected=_WORD_TEXT,
    )

    vllm_base_url: str = _name(
        "",
        "vLLM's address, with `/v1`.",
        group=_VLLM,
        becomes="providers.vllm.api_base",
        pattern=_ADDRESS,
        expected=_ADDRESS_TEXT,
    )
    vllm_model: str = _name(
        "",
        "The model that it serves, here as `vllm-chat`; not set: `Qwen/Qwen2.5-Coder-7B-Instruct`.",
        group=_VLLM,
        becomes="providers.vllm.models.vllm-chat",
        needs="VLLM_BASE_URL",
        pattern=_WORD,
        expected=_WORD_TEXT,
    )

    mycoder_openai_base_url: str = _name(
        "",
        "The server's address, with `/v1`: `http://localhost:1234/v1` (LM Studio), `https://api.openai.com/v1`.",
        group=_OPENAI,
        becomes="providers.mycoder.api_base",
        pattern=_ADDRESS,
        expected=_ADDRESS_TEXT,
    )
    mycoder_openai_api_key: str = _name(
        "",
        "Its key; empty for a server that wants none. OpenAI wants one.",
        group=_OPENAI,
        becomes="providers.mycoder.api_key",
        needs="MYCODER_OPENAI_BASE_URL",
        secret=True,
    )
    mycoder_chat_model: str = _name(
        "",
        "The server's model for chat, served as `mycoder-chat` and under its own name.",
        group=_OPENAI,
        becomes="providers.mycoder.models.mycoder-chat",
        needs="MYCODER_OPENAI_BASE_URL",
        pattern=_WORD,
        expected=_WORD_TEXT,
    )
    mycoder_embedding_model: str = _name(
        "",
        "The server's model for embeddings, served as `mycoder-embed` and under its own name.",
        group=_OPENAI,
        becomes="providers.mycoder.models.mycoder-embed",
        needs="MYCODER_OPENAI_BASE_URL",
        pattern=_WORD,
        expected=_WORD_TEXT,
    )
    mycoder_llm_min_interval_ms: int = _name(
        0,
        "Shortest time between the beginnings of two requests; further ones wait for their turn.",
        group=_OPENAI,
        becomes="providers.mycoder.min_interval_ms",
        needs="MYCODER_OPENAI_BASE_URL",
        bounds=(0, 86_400_000),
        unit="milliseconds",
    )

    llm_timeout: int = _name(
        0,
        "Seconds for all tries together; comes before what `stack.yml` says.",
        group=_REQUESTS,
        becomes="routes.local-chat.deadline",
        bounds=(1, 86_400),
        unit="seconds",
        of_machine=False,
    )
    llm_max_retries: int = _name(
        -1,
        "Further tries of a target before the next one; comes before what `stack.yml` says.",
        group=_REQUESTS,
        becomes="routes.local-chat.retries",
        bounds=(0, 10),
        unit="tries",
        of_machine=False,
    )
    llm_temperature: str = _name(
        "",
        "What a request gets that its client did not send; comes before what `stack.yml` says.",
        group=_REQUESTS,
        becomes="routes.local-chat.defaults.temperature",
        pattern=_TEMPERATURE,
        expected="a number from 0 to 2",
        of_machine=False,
    )

    mycoder_disable_embeddings: bool = _name(
        False,
        "`1` switches embeddings off, whatever GATEWAY_EMBEDDINGS says.",
        group=_GATEWAY,
        becomes="GATEWAY_EMBEDDINGS",
        of_machine=False,
    )
    llm_debug: bool = _name(
        False,
        "`true` has each try of each request logged, without prompts and answers, whatever GATEWAY_LOG_LEVEL says.",
        group=_GATEWAY,
        becomes="GATEWAY_LOG_LEVEL",
    )
    mycoder_lmstudio_smoke: bool = _name(
        False,
        "Nothing in `.env`; exported, it has `make test` ask the server at MYCODER_OPENAI_BASE_URL.",
        group=_GATEWAY,
        becomes="",
    )


def list_names() -> tuple[Field[Any], ...]:
    """Every name as its dataclass field, in the order of the class."""
    return fields(EnvironmentNames)


def name_keys() -> frozenset[str]:
    """Every name as it stands in `.env`."""
    return frozenset(item.name.upper() for item in fields(EnvironmentNames))


def travelling_keys() -> frozenset[str]:
    """The names that a bundle takes along: neither secret nor of one machine."""
    return frozenset(item.name.upper() for item in fields(EnvironmentNames) if is_travelling(item))


def is_travelling(item: Field[Any]) -> bool:
    """Whether a bundle takes this name along."""
    return not (item.metadata["secret"] or item.metadata["of_machine"])


def list_secret_names() -> frozenset[str]:
    """Names whose values must never be printed or rendered."""
    return frozenset(item.name.upper() for item in fields(EnvironmentNames) if item.metadata["secret"])


# The name that decides a key of `stack.yml` or a setting, by the key's path with dots.
PLACES: Final = MappingProxyType(
    {str(item.metadata["becomes"]): item.name.upper() for item in list_names() if item.metadata["becomes"]}
)
