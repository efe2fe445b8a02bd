"""Where the Redis is, and what is done while it is away. Pure.

In: the gateway's variables. Out: a ``RedisPlace``, or one error that says what was seen and what was expected.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal
from urllib.parse import unquote, urlsplit

DEFAULT_PORT = 6379
Away = Literal["local", "refuse"]


@dataclass(frozen=True, slots=True)
class RedisPlace:
    """One Redis.

    Attributes:
        user: name of an ACL's user; empty for the default one.
        database: number of the logical database.
        password_file: path of a file with the password, read for each connection; empty for ``password`` itself.
        has_tls: whether it is spoken to over TLS.
        away: what is done while it does not answer: count in this gateway alone, or refuse what has limits.
    """

    host: str
    port: int = DEFAULT_PORT
    user: str = ""
    password: str = field(default="", repr=False)
    password_file: str = ""
    database: int = 0
    has_tls: bool = False
    away: Away = "local"

    @property
    def address(self) -> str:
        """Host and port, for people."""
        return f"{self.host}:{self.port}"


def parse_place(url: str, password: str, password_file: str, away: str) -> RedisPlace:
    """The place of an address such as ``rediss://user@host:6379/0``.

    Raises:
        ValueError: it is no such address, or holds a password, which would stand wherever the address is shown.
    """
    expected = "expected redis://HOST:PORT/NUMBER, or rediss:// for TLS"
    try:
        parts = urlsplit(url)
        port = parts.port or DEFAULT_PORT
    except ValueError:
        raise ValueError(expected) from None
    if parts.password is not None:
        raise ValueError("it holds a password; expected that in GATEWAY_REDIS_PASSWORD or a file")
    if parts.scheme not in ("redis", "rediss") or not parts.hostname or parts.query or parts.fragment:
        raise ValueError(expected)
    number = parts.path.strip("/") or "0"
    if not (number.isascii() and number.isdigit()):
        raise ValueError(f"its database is {number!r}; expected a number")
    has_tls = parts.scheme == "rediss"
    user = unquote(parts.username or "")
    rule: Away = "refuse" if away == "refuse" else "local"
    return RedisPlace(parts.hostname, port, user, password, password_file, int(number), has_tls, rule)
