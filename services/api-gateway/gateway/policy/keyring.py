"""The keys of the database as one worker knows them, in memory. Pure.

In: what a client sent. Out: whose it is. Finding one takes as long for a wrong key as for a right one, whatever the
client sent: one look-up by the id, which is no secret, one hash and one comparison in constant time.
"""

from __future__ import annotations

import hmac
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from gateway.state.keys import ID_LENGTH, PREFIX, SENT_LENGTH, hash_sent
from gateway.state.values import NOBODY, Caller, Key, Secret

_ID = slice(len(PREFIX), len(PREFIX) + ID_LENGTH)


@dataclass(frozen=True, slots=True)
class Held:
    """What the ring knows of one secret; ``ends_at`` in seconds since 1970, None for never."""

    hash: bytes
    caller: Caller
    ends_at: float | None = None

    def is_over(self, now: float) -> bool:
        """Whether it has stopped to work at this time."""
        return self.ends_at is not None and self.ends_at <= now


# What is compared with where the id is nobody's.
_NONE = Held(bytes(32), NOBODY)


class KeyRing:
    """Every secret that may open the gateway, by its id; empty until it is told of some."""

    def __init__(self, held: Mapping[bytes, Held] | None = None) -> None:
        self._held = held or {}

    def replace(self, held: Mapping[bytes, Held]) -> None:
        """Hold these and no others."""
        self._held = held

    def list_keys(self) -> Iterable[Key]:
        """The key of every secret; a key that was rotated comes twice for a while."""
        return (held.caller.key for held in self._held.values() if held.caller.key)

    def find(self, sent: bytes) -> Held | None:
        """What is held of the secret that a client sent, of any length and any bytes; None for one that is nobody's."""
        held = self._held.get(sent[_ID], _NONE)
        # A longer one is cut so that hashing it is bounded; it cannot become a right one by that.
        is_same = hmac.compare_digest(hash_sent(sent[: SENT_LENGTH + 1]), held.hash)
        return held if is_same and held is not _NONE else None


def hold(secret: Secret) -> Held:
    """What the ring keeps of a secret."""
    key = secret.key
    ends = [end for end in (secret.ends_at, key.expires_at) if end is not None]
    return Held(secret.hash, Caller(key.name, key=key), min(ends, default=None))
