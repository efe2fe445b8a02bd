"""The environment variables that the chat API reads, as one frozen value. Does no I/O.

In: a mapping of environment variables. Out: ``Settings``, or one ``SettingsError`` that says what was seen and what was
expected.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from urllib.parse import urlsplit

DEFAULT_SYSTEM_MESSAGE = "당신은 도움이 되는 AI 어시스턴트입니다."
LOG_LEVELS = ("info", "debug", "warning", "error")

_DATABASE_SCHEMES = ("postgresql://", "postgres://")
_DECIMAL = re.compile(r"[0-9]{1,3}(\.[0-9]{1,4})?")


class SettingsError(Exception):
    """A variable is missing or wrong; the message is one line for the operator."""


@dataclass(frozen=True, slots=True)
class Defaults:
    """What a request that does not say otherwise gets.

    Attributes:
        temperature: from 0 to 2.
        system_message: may be empty for none.
    """

    model: str = "local-chat"
    temperature: float = 0.7
    max_tokens: int = 1000
    system_message: str = DEFAULT_SYSTEM_MESSAGE


@dataclass(frozen=True, slots=True)
class StoreSettings:
    """Where sessions are kept.

    Attributes:
        is_on: whether any are kept.
        folder: of the SQLite file.
        database_url: address of a PostgreSQL database that takes the file's place; empty for none. May hold a password.
        database_password: that of its user, where the address has none.
        ca_bundle: path of a PEM file that the database's server is trusted by; empty for the system's.
        days: days after which a session that nobody used is removed; 0 for never.
        most_free: how many sessions are kept for callers without a key.
    """

    is_on: bool = False
    folder: str = ""
    database_url: str = field(default="", repr=False)
    database_password: str = field(default="", repr=False)
    ca_bundle: str = ""
    days: int = 30
    most_free: int = 10_000


@dataclass(frozen=True, slots=True)
class Settings:
    """How this service runs.

    Attributes:
        gateway_url: base URL of the gateway, without ``/v1``.
        gateway_key: the service's own key of the gateway; empty for none.
        free_key: the key that pays for callers without one; empty where nobody is answered without a key.
        free_parallel: how many of the requests at the gateway may be such callers', who have as large a share of the
            queue.
        ca_bundle: path of a PEM file that the gateway is trusted by, where its address is ``https``.
        allowed_hosts: lower-case names under which the service may be asked, beside loopback's and addresses.
        summarises: whether turns that no longer fit the model's context are summarised rather than dropped.
        parallel: requests that are at the gateway at once; ``queue`` more may wait.
        timeout_s: seconds that a request may take in all.
        cache_entries: answers that are kept in memory; 0 for none. ``cache_age_s``: seconds that each is kept.
        takes_provider_keys: whether a caller's key may be a provider's, too.
        max_body_bytes: largest request body.
    """

    host: str
    port: int
    gateway_url: str
    gateway_key: str = field(default="", repr=False)
    free_key: str = field(default="", repr=False)
    free_parallel: int = 16
    ca_bundle: str = ""
    log_level: str = "info"
    log_file: str = ""
    allowed_hosts: frozenset[str] = frozenset()
    defaults: Defaults = Defaults()
    store: StoreSettings = StoreSettings()
    summarises: bool = False
    parallel: int = 32
    queue: int = 256
    timeout_s: int = 300
    cache_entries: int = 0
    cache_age_s: int = 300
    takes_provider_keys: bool = False
    max_body_bytes: int = 4 * 1024 * 1024


def parse_settings(environ: Mapping[str, str]) -> Settings:
    """Read every setting from the environment variables.

    Raises:
        SettingsError: a value is no number, out of bounds, or none of the words that it may be.
    """
    read = _Reader(environ)
    own_key, free_parallel = _read_key(read, "GATEWAY_KEY"), read.whole("FREE_PARALLEL", 16, 0, 4096)
    free_key = _read_key(read, "FREE_KEY") or own_key
    return Settings(
        host=read.text("HOST", "127.0.0.1"),
        port=read.whole("PORT", 5601, 1, 65_535),
        gateway_url=_read_url(read),
        gateway_key=own_key,
        free_key=free_key if free_parallel else "",
        free_parallel=free_parallel,
        ca_bundle=read.text("CA_BUNDLE"),
        log_level=read.choice("LOG_LEVEL", LOG_LEVELS),
        log_file=read.text("LOG_FILE"),
        allowed_hosts=frozenset(filter(None, (part.strip().lower() for part in read.text("ALLOWED_HOSTS").split(",")))),
        defaults=_read_defaults(read),
        store=_read_store(read),
        summarises=read.choice("HISTORY", ("drop", "summarise")) == "summarise",
        parallel=read.whole("PARALLEL", 32, 1, 4096),
        queue=read.whole("QUEUE", 256, 0, 65_536),
        timeout_s=read.whole("TIMEOUT_S", 300, 1, 86_400),
        cache_entries=read.whole("CACHE_ENTRIES", 0, 0, 100_000),
        cache_age_s=read.whole("CACHE_AGE_S", 300, 1, 604_800),
        takes_provider_keys=read.choice("CALLER_PROVIDER_KEYS", ("off", "on")) == "on",
        max_body_bytes=read.whole("MAX_BODY_BYTES", 4 * 1024 * 1024, 1024, 64 * 1024 * 1024),
    )


class _Reader:
    """Variables by their names without the prefix."""

    def __init__(self, environ: Mapping[str, str]) -> None:
        self._environ = environ

    def text(self, name: str, default: str = "") -> str:
        return self._environ.get(f"CHAT_API_{name}", "").strip() or default

    def given(self, name: str, default: str) -> str:
        """A text that may be empty on purpose."""
        return self._environ.get(f"CHAT_API_{name}", default).strip()

    def whole(self, name: str, default: int, low: int, high: int) -> int:
        text = self.text(name)
        if not text:
            return default
        if not text.isascii() or not text.isdigit() or len(text) > 12 or not low <= int(text) <= high:
            raise SettingsError(f"CHAT_API_{name} is {text!r}; expected a whole number from {low} to {high}")
        return int(text)

    def choice(self, name: str, choices: tuple[str, ...]) -> str:
        text = self.text(name, choices[0]).lower()
        if text not in choices:
            raise SettingsError(f"CHAT_API_{name} is {text!r}; expected {' or '.join(choices)}")
        return text


def _read_url(read: _Reader) -> str:
    url = read.text("GATEWAY_URL", "http://127.0.0.1:8000").rstrip("/")
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.query or parts.fragment or parts.username:
        raise SettingsError("CHAT_API_GATEWAY_URL is no usable address; expected http://HOST:PORT, without /v1")
    if parts.path == "/v1":
        raise SettingsError("CHAT_API_GATEWAY_URL ends in /v1; expected the gateway's address without it")
    return url


def _read_key(read: _Reader, name: str) -> str:
    key = read.text(name)
    if not all("!" <= letter <= "~" for letter in key):
        raise SettingsError(f"CHAT_API_{name} has characters that no key has; expected ASCII without spaces")
    return key


def _read_defaults(read: _Reader) -> Defaults:
    text = read.text("DEFAULT_TEMPERATURE", "0.7")
    if not _DECIMAL.fullmatch(text) or not 0 <= float(text) <= 2:
        raise SettingsError(f"CHAT_API_DEFAULT_TEMPERATURE is {text!r}; expected a number from 0 to 2")
    return Defaults(
        model=read.text("DEFAULT_MODEL", "local-chat"),
        temperature=float(text),
        max_tokens=read.whole("DEFAULT_MAX_TOKENS", 1000, 1, 1_000_000),
        system_message=read.given("DEFAULT_SYSTEM_MESSAGE", DEFAULT_SYSTEM_MESSAGE),
    )


def _read_store(read: _Reader) -> StoreSettings:
    store = StoreSettings(
        is_on=read.choice("SESSIONS", ("off", "disk")) == "disk",
        folder=read.text("FOLDER"),
        database_url=read.text("DATABASE_URL"),
        database_password=read.text("DATABASE_PASSWORD"),
        ca_bundle=read.text("CA_BUNDLE"),
        days=read.whole("SESSION_DAYS", 30, 0, 36_500),
        most_free=read.whole("FREE_SESSIONS", 10_000, 0, 10_000_000),
    )
    if store.database_url and not store.database_url.startswith(_DATABASE_SCHEMES):
        raise SettingsError("CHAT_API_DATABASE_URL is not usable; expected postgresql://USER@HOST:PORT/DATABASE")
    if store.is_on and not store.folder and not store.database_url:
        raise SettingsError("CHAT_API_SESSIONS is 'disk'; set CHAT_API_FOLDER, or CHAT_API_DATABASE_URL")
    return store
