"""The environment variables that the agents read, as one frozen value. Does no I/O.

In: a mapping of environment variables. Out: ``Settings``, or one ``SettingsError`` that says what was seen and what was
expected.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal, get_args

Language = Literal["ko", "en"]
LANGUAGES: tuple[Language, ...] = get_args(Language)

_ADDRESS = re.compile(r"https?://[^\s/@?#]+(/[^\s@?#]*)?")
_HOST = re.compile(r"[a-z0-9]([a-z0-9.-]*[a-z0-9])?")
_LEVELS = ("debug", "info", "warning", "error")
_TRUTH = {"on": True, "true": True, "1": True, "off": False, "false": False, "0": False}


class SettingsError(Exception):
    """A variable is missing or wrong; the message is one line for the operator."""


@dataclass(frozen=True, slots=True)
class Settings:
    """How the agents run.

    Attributes:
        gateway_url: base of the gateway, without ``/v1``.
        gateway_key: the service's own key of the gateway; empty where every caller brings one.
        is_open: whether a caller without a key is served with the service's own.
        model: the gateway's name of the model that is asked where a request names none.
        attempts: how often the model is asked for one answer, at most.
        language: that of the prompts, where a request names none.
        timeout_s: seconds that a call may take with all its attempts.
        parallel: calls under way at once; a further one is refused.
        log_file: path of a file that gets the log's lines, too; empty for none.
        allowed_hosts: lower-case names under which the service is asked, beside loopback's and addresses.
    """

    host: str
    port: int
    gateway_url: str
    gateway_key: str = field(repr=False)
    is_open: bool
    model: str
    attempts: int
    language: Language
    timeout_s: int
    parallel: int
    log_level: str
    log_file: str
    allowed_hosts: frozenset[str]


def parse_settings(environ: Mapping[str, str]) -> Settings:
    """Read every setting from the environment variables.

    Raises:
        SettingsError: a variable is wrong, or the service is open and has no key to serve with.
    """
    settings = Settings(
        host=environ.get("AGENTS_HOST") or "127.0.0.1",
        port=_read_int(environ, "AGENTS_PORT", 5602, 1, 65_535),
        gateway_url=_read_address(environ, "AGENTS_GATEWAY_URL", "http://127.0.0.1:8000"),
        gateway_key=_read_key(environ, "AGENTS_GATEWAY_KEY"),
        is_open=_read_bool(environ, "AGENTS_OPEN"),
        model=environ.get("AGENTS_MODEL", "").strip() or "local-chat",
        attempts=_read_int(environ, "AGENTS_ATTEMPTS", 3, 1, 10),
        language=_read_language(environ),
        timeout_s=_read_int(environ, "AGENTS_TIMEOUT_S", 600, 1, 86_400),
        parallel=_read_int(environ, "AGENTS_PARALLEL", 8, 1, 1024),
        log_level=_read_choice(environ, "AGENTS_LOG_LEVEL", _LEVELS, "info"),
        log_file=environ.get("AGENTS_LOG_FILE", "").strip(),
        allowed_hosts=_read_hosts(environ, "AGENTS_ALLOWED_HOSTS"),
    )
    if settings.is_open and not settings.gateway_key:
        raise SettingsError(
            "AGENTS_OPEN is on and AGENTS_GATEWAY_KEY is empty; set a key of the gateway for callers without one"
        )
    return settings


def _read_int(environ: Mapping[str, str], name: str, default: int, low: int, high: int) -> int:
    text = environ.get(name, "").strip()
    if not text:
        return default
    if not text.isascii() or not text.isdigit() or len(text) > 9 or not low <= int(text) <= high:
        raise SettingsError(f"{name} is {text[:40]!r}; expected a whole number from {low} to {high}")
    return int(text)


def _read_address(environ: Mapping[str, str], name: str, default: str) -> str:
    text = environ.get(name, "").strip().rstrip("/") or default
    if not _ADDRESS.fullmatch(text):  # it may hold a password, and is not repeated
        raise SettingsError(f"{name} is not usable; expected an address such as {default}, without a user name")
    if text.endswith("/v1"):
        raise SettingsError(f"{name} ends with /v1; expected the gateway's base, such as {default}")
    return text


def _read_key(environ: Mapping[str, str], name: str) -> str:
    """A key; what cannot stand in a header is refused and not repeated."""
    text = environ.get(name, "").strip()
    if not text.isascii() or not text.isprintable() or " " in text:
        raise SettingsError(f"{name} is not usable; expected a key of the gateway, without spaces")
    return text


def _read_choice(environ: Mapping[str, str], name: str, choices: tuple[str, ...], default: str) -> str:
    text = environ.get(name, "").strip().lower() or default
    if text not in choices:
        raise SettingsError(f"{name} is {text!r}; expected {', '.join(choices[:-1])} or {choices[-1]}")
    return text


def _read_language(environ: Mapping[str, str]) -> Language:
    text = _read_choice(environ, "AGENTS_LANGUAGE", LANGUAGES, "ko")
    return "en" if text == "en" else "ko"


def _read_bool(environ: Mapping[str, str], name: str) -> bool:
    text = environ.get(name, "").strip().lower() or "off"
    if text not in _TRUTH:
        raise SettingsError(f"{name} is {text!r}; expected on or off")
    return _TRUTH[text]


def _read_hosts(environ: Mapping[str, str], name: str) -> frozenset[str]:
    names = [part.strip().lower() for part in environ.get(name, "").split(",") if part.strip()]
    for host in names:
        if not _HOST.fullmatch(host):
            raise SettingsError(f"{name} holds {host!r}; expected names of hosts without ports, separated by commas")
    return frozenset(names)
