"""The environment variables the gateway reads, as one frozen value. Does no I/O.

In: a mapping of environment variables, and the text of the LiteLLM configuration. Out: ``Settings``, or one
``SettingsError`` that says what was seen and what was expected.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from gateway.redis_place import RedisPlace, parse_place

DEFAULT_MAX_BODY_BYTES = 32 * 1024 * 1024
DEFAULT_SHUTDOWN_S = 20
DEFAULT_USAGE_DAYS = 400
MIN_CACHE_KEY = 32

# With several workers, the folder through which they share their counters; prometheus_client's own name.
METRICS_FOLDER_VARIABLE = "PROMETHEUS_MULTIPROC_DIR"

# What begins like this and goes on with the name of a service of the stack is the key that this service sends.
_SERVICE_KEY = "GATEWAY_SERVICE_KEY_"
_MAX_WORKERS = 64
_DATABASE_SCHEMES = ("postgresql://", "postgres://")

_REFERENCE = re.compile(r"os\.environ/([A-Za-z_][A-Za-z0-9_]*)")
_TRUTH = {"true": True, "1": True, "yes": True, "false": False, "0": False, "no": False}


class SettingsError(Exception):
    """A variable is missing or wrong; the message is one line for the operator."""


@dataclass(frozen=True, slots=True)
class StateSettings:
    """Where the gateway keeps its keys and its records of usage.

    Attributes:
        path: folder of the gateway's database and files; empty for a gateway that keeps nothing.
        database_url: address of a PostgreSQL database that takes the file's place; empty for none. May hold a password.
        database_password, database_password_file: the password, or the path of a file with it, where the address has
            none.
        ca_bundle: see ``Settings``.
    """

    path: str = ""
    database_url: str = field(default="", repr=False)
    database_password: str = field(default="", repr=False)
    database_password_file: str = ""
    ca_bundle: str = ""


@dataclass(frozen=True, slots=True)
class Settings:
    """How this gateway runs.

    Attributes:
        config_path: path of LiteLLM's configuration file.
        workers: number of processes that answer requests.
        admin_key: key that opens /metrics beside everything else.
        client_key: key that clients send.
        log_prompts: whether prompts and answers of all routes are written down, masked, for an hour from the start.
        max_body_bytes: largest request body; a larger one is answered with 413.
        shutdown_s: seconds that requests under way may still take after SIGTERM.
        direct_hosts: the stack's own hosts, which are never asked through a proxy.
        ca_bundle: path of a PEM file of certificate authorities that providers are trusted by, beside the system's own,
            and that the database's server is trusted by; empty for none.
        is_verbose: whether each try of a request is logged, too.
        state: where keys and usage are kept.
        is_state_required: whether the gateway refuses to start when its database cannot be used, rather than to go on
            without keys of its own.
        usage_days: days after which records of usage are removed; 0 for never.
        redis: where limits are counted together with other gateways; None to count them here.
        cache_key: what kept answers are encrypted with; empty for not at all.
        page_hosts: lower-case names under which the page is shown, beside loopback's and addresses.
        service_keys: keys of the stack's own services, by their names: ``chat-api``.
    """

    host: str
    port: int
    config_path: str
    workers: int
    admin_key: str
    client_key: str
    log_prompts: bool
    max_body_bytes: int
    shutdown_s: int
    direct_hosts: tuple[str, ...] = ()
    ca_bundle: str = ""
    is_verbose: bool = False
    state: StateSettings = StateSettings()
    is_state_required: bool = False
    usage_days: int = DEFAULT_USAGE_DAYS
    redis: RedisPlace | None = None
    cache_key: str = field(default="", repr=False)
    page_hosts: frozenset[str] = frozenset()
    service_keys: Mapping[str, str] = field(default_factory=dict, repr=False)

    @property
    def keys(self) -> Mapping[str, str]:
        """The keys of the environment, by their callers' names."""
        return {"admin": self.admin_key, "client": self.client_key, **self.service_keys}


def parse_settings(environ: Mapping[str, str]) -> Settings:
    """Read every setting from the environment variables.

    Raises:
        SettingsError: a required variable is empty, a number is no number or out of bounds, or two keys are the same.
    """
    settings = Settings(
        host=environ.get("GATEWAY_HOST") or "127.0.0.1",
        port=_read_int(environ, "GATEWAY_PORT", 8000, 1, 65_535),
        config_path=_read_required(environ, "GATEWAY_CONFIG"),
        workers=_read_int(environ, "GATEWAY_WORKERS", 1, 1, _MAX_WORKERS),
        admin_key=_read_required(environ, "GATEWAY_ADMIN_KEY"),
        client_key=_read_required(environ, "GATEWAY_KEY"),
        log_prompts=_read_bool(environ, "GATEWAY_LOG_PROMPTS"),
        is_verbose=_read_choice(environ, "GATEWAY_LOG_LEVEL", ("info", "debug")) == "debug",
        max_body_bytes=_read_int(environ, "GATEWAY_MAX_BODY_BYTES", DEFAULT_MAX_BODY_BYTES, 1024, 2**40),
        shutdown_s=_read_int(environ, "GATEWAY_SHUTDOWN_S", DEFAULT_SHUTDOWN_S, 1, 3600),
        direct_hosts=tuple(filter(None, environ.get("GATEWAY_DIRECT_HOSTS", "").split(","))),
        ca_bundle=environ.get("GATEWAY_CA_BUNDLE", ""),
        state=parse_state(environ),
        is_state_required=_read_bool(environ, "GATEWAY_STATE_REQUIRED"),
        usage_days=_read_int(environ, "GATEWAY_USAGE_DAYS", DEFAULT_USAGE_DAYS, 0, 36_500),
        redis=_read_redis(environ),
        cache_key=environ.get("GATEWAY_CACHE_KEY", "").strip(),
        page_hosts=frozenset(filter(None, environ.get("GATEWAY_HOSTS", "").lower().split(","))),
        service_keys=_read_service_keys(environ),
    )
    if settings.admin_key == settings.client_key:
        raise SettingsError("GATEWAY_ADMIN_KEY and GATEWAY_KEY are the same; expected two different keys")
    if len(set(settings.keys.values())) < len(settings.keys):
        names = ", ".join(f"{_SERVICE_KEY}{name.upper().replace('-', '_')}" for name in settings.service_keys)
        raise SettingsError(f"{names} and the other keys are not all different; expected a key for each")
    if 0 < len(settings.cache_key) < MIN_CACHE_KEY:
        seen = len(settings.cache_key)
        raise SettingsError(f"GATEWAY_CACHE_KEY has {seen} characters; expected at least {MIN_CACHE_KEY}")
    return settings


def parse_state(environ: Mapping[str, str]) -> StateSettings:
    """Read where the state is.

    Raises:
        SettingsError: the address of the database is none, or has no folder beside it; the address is not repeated.
    """
    state = StateSettings(
        path=environ.get("GATEWAY_STATE", ""),
        database_url=environ.get("GATEWAY_DATABASE_URL", "").strip(),
        database_password=environ.get("GATEWAY_DATABASE_PASSWORD", ""),
        database_password_file=environ.get("GATEWAY_DATABASE_PASSWORD_FILE", ""),
        ca_bundle=environ.get("GATEWAY_CA_BUNDLE", ""),
    )
    if state.database_url and not state.database_url.startswith(_DATABASE_SCHEMES):
        raise SettingsError("GATEWAY_DATABASE_URL is not usable; expected postgresql://USER@HOST:PORT/DATABASE")
    if state.database_url and not state.path:
        raise SettingsError(
            "GATEWAY_DATABASE_URL is set and GATEWAY_STATE is empty; name a folder for the files beside it"
        )
    return state


def _read_service_keys(environ: Mapping[str, str]) -> dict[str, str]:
    found = {name: value.strip() for name, value in sorted(environ.items()) if name.startswith(_SERVICE_KEY)}
    return {
        name.removeprefix(_SERVICE_KEY).lower().replace("_", "-"): value
        for name, value in found.items()
        if value and name != _SERVICE_KEY
    }


def check_references(config_text: str, environ: Mapping[str, str]) -> None:
    """Refuse a configuration that names a variable nobody set: LiteLLM would go on without the value.

    Raises:
        SettingsError: an ``os.environ/NAME`` is unset or empty; names every one.
    """
    missing = sorted({name for name in _REFERENCE.findall(config_text) if not environ.get(name)})
    if missing:
        raise SettingsError(f"the configuration needs {', '.join(missing)}, which is unset or empty; set it")


def _read_redis(environ: Mapping[str, str]) -> RedisPlace | None:
    url = environ.get("GATEWAY_REDIS_URL", "").strip()
    if not url:
        return None
    password, file = environ.get("GATEWAY_REDIS_PASSWORD", ""), environ.get("GATEWAY_REDIS_PASSWORD_FILE", "")
    try:
        return parse_place(url, password, file, _read_choice(environ, "GATEWAY_REDIS_AWAY", ("local", "refuse")))
    except ValueError as error:  # the address itself may hold a password, and is not repeated
        raise SettingsError(f"GATEWAY_REDIS_URL is not usable: {error}") from None


def _read_required(environ: Mapping[str, str], name: str) -> str:
    value = environ.get(name, "").strip()
    if not value:
        raise SettingsError(f"{name} is unset or empty; set it")
    return value


def _read_int(environ: Mapping[str, str], name: str, default: int, low: int, high: int) -> int:
    text = environ.get(name, "").strip()
    if not text:
        return default
    if not text.isascii() or not text.isdigit() or not low <= int(text) <= high:
        raise SettingsError(f"{name} is {text!r}; expected a whole number from {low} to {high}")
    return int(text)


def _read_choice(environ: Mapping[str, str], name: str, choices: tuple[str, ...]) -> str:
    """One of the words that the variable may be; the first where it is empty."""
    text = environ.get(name, "").strip() or choices[0]
    if text not in choices:
        raise SettingsError(f"{name} is {text!r}; expected {' or '.join(choices)}")
    return text


def _read_bool(environ: Mapping[str, str], name: str) -> bool:
    text = environ.get(name, "").strip().lower()
    if not text:
        return False
    if text not in _TRUTH:
        raise SettingsError(f"{name} is {text!r}; expected true or false")
    return _TRUTH[text]
