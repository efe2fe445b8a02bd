"""Settings of the gateway, and the keys. Pure."""

from __future__ import annotations

from dataclasses import dataclass

from stackctl.core.settings.declare import declare
from stackctl.core.settings.stack_settings import StackSettings

_MEMORY = r"auto|0|[1-9][0-9]*[kmg]"
_MEMORY_TEXT = "auto, 0 or a size such as 24g"
_FORMAT = "(chat|completions|embeddings|rerank|messages|responses)"
_FORMATS = f"{_FORMAT}(,{_FORMAT})*"
_ORIGIN = r"https?://[A-Za-z0-9.:\[\]-]+"
_ORIGINS = rf"\*|{_ORIGIN}(,{_ORIGIN})*"
_HOST = r"[A-Za-z0-9_]([A-Za-z0-9_-]*[A-Za-z0-9_])?(\.[A-Za-z0-9_]([A-Za-z0-9_-]*[A-Za-z0-9_])?)*"
_HOSTS = rf"{_HOST}(,{_HOST})*"
_REDIS_URL = r"rediss?://([^\s:/@?#]+@)?([^\s:/@?#\[\]]+|\[[0-9a-fA-F:.]+\])(:[0-9]{1,5})?(/[0-9]{0,4})?"


@dataclass(frozen=True, slots=True)
class GatewaySettings(StackSettings):
    """What the gateway does, and who may ask."""

    api_gateway_port: int = declare(
        8000, "Port that editors and SDKs point at.", group="Gateway", bounds=(1, 65_535), unit="port"
    )
    bind_address: str = declare(
        "127.0.0.1",
        "Address the gateway listens on; the process runtime takes loopback only.",
        group="Gateway",
        pattern=r"[0-9a-fA-F:.]+",
        expected="an IP address",
    )
    gateway_workers: int = declare(
        1,
        "Gateway processes; more answer more requests at once and take about 45 MB each.",
        group="Gateway",
        bounds=(1, 64),
        unit="processes",
    )
    gateway_image: str = declare("", "Image that replaces the one built from services/api-gateway.", group="Gateway")
    gateway_memory_limit: str = declare(
        "auto",
        "Memory limit of the gateway container; auto computes it from the workers, 0 sets none.",
        group="Gateway",
        pattern=_MEMORY,
        expected=_MEMORY_TEXT,
    )
    gateway_request_timeout_s: int = declare(
        600, "Longest time one request may take.", group="Gateway", bounds=(1, 86_400), unit="seconds"
    )
    gateway_formats: str = declare(
        "chat,completions,embeddings,rerank,messages,responses",
        "Formats that clients are served in; what is left out is answered with 404.",
        group="Gateway",
        pattern=_FORMATS,
        expected="a list of chat, completions, embeddings, rerank, messages and responses",
    )
    gateway_embeddings: bool = declare(
        True, "Answer requests for embeddings; false refuses them in words.", group="Gateway"
    )
    gateway_queue_length: int = declare(
        4096,
        "Requests that may wait for a slot of an engine; one more is refused with 503.",
        group="Gateway",
        bounds=(0, 1_000_000),
        unit="requests",
    )
    gateway_queue_wait_s: int = declare(
        600,
        "Longest time that a request waits for a slot of an engine.",
        group="Gateway",
        bounds=(1, 86_400),
        unit="seconds",
    )
    gateway_cors_origins: str = declare(
        "",
        "Origins whose web pages may ask the gateway, separated by commas; empty allows none.",
        group="Gateway",
        pattern=_ORIGINS,
        expected="a list such as https://chat.example,http://localhost:3000",
    )
    gateway_hosts: str = declare(
        "",
        "Names by which browsers reach the gateway's page, separated by commas, beside localhost and addresses; under"
        " any other name it is not shown.",
        group="Gateway",
        pattern=_HOSTS,
        expected="a list of names such as gpu.example,ai.local, without a port",
    )
    gateway_log_level: str = declare(
        "info",
        "How much the gateway logs: a line for each request, or with debug one for each try of it too.",
        group="Gateway",
        choices=("info", "debug"),
    )
    gateway_ca_bundle: str = declare(
        "",
        "PEM file of the company's certificate authority, which providers are trusted by beside the system's own;"
        " it alone is what databases on other machines are trusted by.",
        group="Gateway",
    )
    gateway_state_required: bool = declare(
        False,
        "Refuse to start when the gateway's database of keys and usage cannot be used; otherwise a damaged one is set"
        " aside, and GATEWAY_KEY alone opens the gateway.",
        group="Gateway",
    )
    gateway_database_url: str = declare(
        "",
        "Address of a PostgreSQL database in which several gateways share keys and usage, as"
        " postgresql://USER:PASSWORD@HOST:5432/DATABASE; empty keeps them in a file of the site, or in the app"
        " postgres.",
        group="Gateway",
        secret=True,
        pattern=r"postgres(ql)?://[^\s/]+/\S*",
        expected="an address that begins with postgresql://",
    )
    gateway_usage_days: int = declare(
        400,
        "Days after which the gateway removes its records of usage, which hold no text; 0 keeps them for ever.",
        group="Gateway",
        bounds=(0, 36_500),
        unit="days",
    )
    gateway_redis_url: str = declare(
        "",
        "Redis in which several gateways count limits together, without a password; empty counts in each alone, or in"
        " the app redis where STACK_APPS names it.",
        group="Gateway",
        pattern=_REDIS_URL,
        expected="an address such as rediss://redis.example:6379/0, whose password is GATEWAY_REDIS_PASSWORD",
    )
    gateway_redis_password: str = declare("", "Password of GATEWAY_REDIS_URL.", group="Gateway", secret=True)
    gateway_redis_away: str = declare(
        "local",
        "While Redis does not answer: count limits in each gateway alone, or refuse what has limits with 503.",
        group="Gateway",
        choices=("local", "refuse"),
    )
    gateway_log_prompts: bool = declare(
        False,
        "Write prompts and answers of all routes, masked, to content.jsonl in the gateway's state, for one hour after"
        " each start of the gateway; 'stackctl content-log' does it for single routes.",
        group="Gateway",
    )

    gateway_admin_key: str = declare(
        "", "Key for administration (/metrics).", group="Keys", secret=True, generated=True
    )
    gateway_key: str = declare("", "Key that clients send.", group="Keys", secret=True, generated=True)
    gateway_cache_key: str = declare(
        "",
        "Key that the gateway encrypts kept answers with (AES-256-GCM), such as 'openssl rand -hex 32' makes; empty"
        " leaves them as they are.",
        group="Keys",
        secret=True,
        pattern=r"[!-~]{32,}",
        expected="at least 32 ASCII characters without spaces",
    )
    inference_api_key: str = declare(
        "", "Key between the gateway and the engines.", group="Keys", secret=True, generated=True
    )
