"""Which key a request is asked with, and whose session it is. Pure.

Free mode takes the caller's key and otherwise the service's own; normal mode takes the caller's alone.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from typing import Literal

from chat_api.dto.response import KeySource
from chat_api.exceptions.chat_exceptions import ConfigurationException, ValidationException

# Who knows a key: the gateway, or a provider behind it.
KeyKind = Literal["gateway", "provider"]

_KEY = re.compile(r"[\x21-\x7e]{1,1024}")


@dataclass(frozen=True, slots=True)
class SelectedKey:
    """A key and where it came from.

    Attributes:
        falls: whether the key that pays for callers without one may take its place where a provider's is not used.
        kind: who knows it: the gateway, unless it has said that it does not.
    """

    key: str
    source: KeySource
    falls: bool = False
    kind: KeyKind = "gateway"

    @property
    def is_free(self) -> bool:
        """Whether somebody may be answered by it whom the gateway does not know."""
        return self.source == "default" or (self.kind == "provider" and self.falls)


def select_key(callers: str, free_mode: bool, own: str) -> SelectedKey:
    """Choose the key of a request.

    Args:
        callers: the key that came with it; empty for none.
        own: the service's own; empty for none.

    Raises:
        ValidationException: there is no key, or one that can be none.
        ConfigurationException: free mode, and the service has no key of its own.
    """
    if callers:
        return SelectedKey(check_key(callers), "user", falls=free_mode and bool(own))
    if not free_mode:
        raise ValidationException("key_needed")
    if not own:
        raise ConfigurationException("service_key_missing")
    return SelectedKey(own, "default")


def check_key(key: str) -> str:
    """The key, if it can be one.

    Raises:
        ValidationException: it cannot.
    """
    if not _KEY.fullmatch(key):
        raise ValidationException("invalid_key")
    return key


def join_keys(in_body: str, in_headers: str) -> str:
    """The caller's key, wherever it was sent.

    Raises:
        ValidationException: two different ones were sent.
    """
    body, headers = in_body.strip(), in_headers.strip()
    if body and headers and body != headers:
        raise ValidationException("keys_differ")
    return body or headers


def hash_key(key: str, kind: KeyKind = "gateway") -> bytes:
    """By which the sessions of a key are found; the key itself is kept nowhere.

    What was kept for a key of the gateway is out of reach for the same key as a provider's: a key that was revoked at
    the gateway may be taken for one of those.
    """
    label = b"chat-api key\0" if kind == "gateway" else b"chat-api provider's key\0"
    return hashlib.sha256(label + key.encode()).digest()


def hash_token(token: str) -> bytes:
    """The same for the token of anonymous sessions; never equal to a key's."""
    return hashlib.sha256(b"chat-api token\0" + token.encode()).digest()
