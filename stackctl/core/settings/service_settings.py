"""Settings of the apps that are services of the stack's own, on top of the gateway. Pure.

Each of them reaches its service as the variable of the same name, but for the image and for secrets that are empty.
"""

from __future__ import annotations

from dataclasses import dataclass

from stackctl.core.settings.declare import declare
from stackctl.core.settings.gateway_settings import GatewaySettings

_FILE_NAME = r"[A-Za-z0-9_-][A-Za-z0-9._-]{0,99}"
_FILE_NAME_TEXT = "a file's name without a folder, such as service.log"
_HOST = r"[A-Za-z0-9_]([A-Za-z0-9_-]*[A-Za-z0-9_])?(\.[A-Za-z0-9_]([A-Za-z0-9_-]*[A-Za-z0-9_])?)*"
_HOSTS = rf"{_HOST}(,{_HOST})*"
_HOSTS_TEXT = "a list of names such as gpu.example,ai.local, without a port"
_LOG_LEVELS = ("debug", "info", "warning", "error")


@dataclass(frozen=True, slots=True)
class ServiceSettings(GatewaySettings):
    """What the chat API and the agents do."""

    chat_api_port: int = declare(
        5601,
        "Port of the chat API, on loopback only.",
        group="Chat API",
        bounds=(1, 65_535),
        unit="port",
        app="chat-api",
    )
    chat_api_image: str = declare(
        "", "Image that replaces the one built from services/chat-api.", group="Chat API", app="chat-api"
    )
    chat_api_gateway_key: str = declare(
        "",
        "The chat API's own key of the gateway, generated where STACK_APPS names it.",
        group="Chat API",
        secret=True,
        generated=True,
        app="chat-api",
    )
    chat_api_free_key: str = declare(
        "",
        "Key of the gateway, from 'stackctl keys create', that pays for callers without one; empty takes the chat API's"
        " own, which has no limits.",
        group="Chat API",
        secret=True,
        app="chat-api",
    )
    chat_api_free_parallel: int = declare(
        16,
        "Requests of callers without a key that the chat API answers at the same time; 0 answers none of them.",
        group="Chat API",
        bounds=(0, 4096),
        unit="requests",
        app="chat-api",
    )
    chat_api_free_sessions: int = declare(
        10_000,
        "Sessions that the chat API keeps for callers without a key; one more is refused.",
        group="Chat API",
        bounds=(0, 10_000_000),
        unit="sessions",
        app="chat-api",
    )
    chat_api_log_level: str = declare(
        "info", "How much the chat API logs; never what is said.", group="Chat API", choices=_LOG_LEVELS, app="chat-api"
    )
    chat_api_log_file: str = declare(
        "",
        "File in the chat API's folder that it logs to as well; empty leaves the log to 'stackctl logs'.",
        group="Chat API",
        pattern=_FILE_NAME,
        expected=_FILE_NAME_TEXT,
        app="chat-api",
    )
    chat_api_allowed_hosts: str = declare(
        "",
        "Names by which programs reach the chat API, separated by commas, beside localhost and loopback's addresses.",
        group="Chat API",
        pattern=_HOSTS,
        expected=_HOSTS_TEXT,
        app="chat-api",
    )
    chat_api_default_model: str = declare(
        "local-chat", "Model that answers where a request names none.", group="Chat API", app="chat-api"
    )
    chat_api_default_temperature: str = declare(
        "0.7",
        "Temperature where a request names none.",
        group="Chat API",
        pattern=r"[01](\.[0-9]{1,6})?|2(\.0{1,6})?",
        expected="a number from 0 to 2",
        app="chat-api",
    )
    chat_api_default_max_tokens: int = declare(
        1000,
        "Longest answer where a request names none.",
        group="Chat API",
        bounds=(1, 1_000_000),
        unit="tokens",
        app="chat-api",
    )
    chat_api_default_system_message: str = declare(
        "",
        "System message where a request names none; empty takes the chat API's own.",
        group="Chat API",
        app="chat-api",
    )
    chat_api_sessions: str = declare(
        "off",
        "Whether the chat API keeps sessions; with off nothing is stored and history comes in each request.",
        group="Chat API",
        choices=("off", "disk"),
        app="chat-api",
    )
    chat_api_database_url: str = declare(
        "",
        "Address of a PostgreSQL database for sessions, as postgresql://USER:PASSWORD@HOST:5432/DATABASE; empty keeps"
        " them at the app postgres where STACK_APPS names it, or in a file of the chat API's folder.",
        group="Chat API",
        secret=True,
        pattern=r"postgres(ql)?://[^\s/]+/\S*",
        expected="an address that begins with postgresql://",
        app="chat-api",
    )
    chat_api_database_password: str = declare(
        "",
        "Password of the chat API's user at the app postgres, generated where STACK_APPS names the chat API.",
        group="Chat API",
        secret=True,
        generated=True,
        app="chat-api",
    )
    chat_api_session_days: int = declare(
        30,
        "Days after which a session that nobody used is removed; 0 keeps them for ever.",
        group="Chat API",
        bounds=(0, 36_500),
        unit="days",
        app="chat-api",
    )
    chat_api_history: str = declare(
        "drop",
        "What becomes of a history's oldest turns that do not fit the model's context.",
        group="Chat API",
        choices=("drop", "summarise"),
        app="chat-api",
    )
    chat_api_parallel: int = declare(
        32,
        "Requests that the chat API answers at the same time.",
        group="Chat API",
        bounds=(1, 4096),
        unit="requests",
        app="chat-api",
    )
    chat_api_queue: int = declare(
        256,
        "Requests that may wait beyond those; one more is refused.",
        group="Chat API",
        bounds=(0, 65_536),
        unit="requests",
        app="chat-api",
    )
    chat_api_max_body_bytes: int = declare(
        4 << 20,
        "Largest request body; a larger one is refused.",
        group="Chat API",
        bounds=(1024, 64 << 20),
        unit="bytes",
        app="chat-api",
    )
    chat_api_timeout_s: int = declare(
        300, "Longest time one answer may take.", group="Chat API", bounds=(1, 86_400), unit="seconds", app="chat-api"
    )
    chat_api_cache_entries: int = declare(
        0,
        "Answers that the chat API keeps in memory for equal requests; 0 keeps none.",
        group="Chat API",
        bounds=(0, 100_000),
        unit="answers",
        app="chat-api",
    )
    chat_api_cache_age_s: int = declare(
        300, "How long it keeps them.", group="Chat API", bounds=(1, 604_800), unit="seconds", app="chat-api"
    )
    chat_api_caller_provider_keys: str = declare(
        "off",
        "Whether a caller may send a key of a provider, which the gateway then uses for that request alone.",
        group="Chat API",
        choices=("off", "on"),
        app="chat-api",
    )

    agents_port: int = declare(
        5602, "Port of the agents, on loopback only.", group="Agents", bounds=(1, 65_535), unit="port", app="agents"
    )
    agents_image: str = declare(
        "", "Image that replaces the one built from services/agents.", group="Agents", app="agents"
    )
    agents_gateway_key: str = declare(
        "",
        "The agents' own key of the gateway, generated where STACK_APPS names them.",
        group="Agents",
        secret=True,
        generated=True,
        app="agents",
    )
    agents_log_level: str = declare(
        "info", "How much the agents log; never what is said.", group="Agents", choices=_LOG_LEVELS, app="agents"
    )
    agents_log_file: str = declare(
        "",
        "File in the agents' folder that they log to as well; empty leaves the log to 'stackctl logs'.",
        group="Agents",
        pattern=_FILE_NAME,
        expected=_FILE_NAME_TEXT,
        app="agents",
    )
    agents_allowed_hosts: str = declare(
        "",
        "Names by which programs reach the agents, separated by commas, beside localhost and loopback's addresses.",
        group="Agents",
        pattern=_HOSTS,
        expected=_HOSTS_TEXT,
        app="agents",
    )
    agents_model: str = declare("local-chat", "Model that the agents ask.", group="Agents", app="agents")
    agents_attempts: int = declare(
        3,
        "How often an agent asks until its answer is valid.",
        group="Agents",
        bounds=(1, 10),
        unit="attempts",
        app="agents",
    )
    agents_language: str = declare(
        "ko", "Language of the prompts where a request names none.", group="Agents", choices=("ko", "en"), app="agents"
    )
    agents_open: bool = declare(
        False,
        "Whether a caller without a key of the gateway is served with the agents' own.",
        group="Agents",
        app="agents",
    )
    agents_timeout_s: int = declare(
        600, "Longest time one call may take.", group="Agents", bounds=(1, 86_400), unit="seconds", app="agents"
    )
    agents_parallel: int = declare(
        8,
        "Calls that the agents work on at the same time.",
        group="Agents",
        bounds=(1, 1024),
        unit="calls",
        app="agents",
    )
