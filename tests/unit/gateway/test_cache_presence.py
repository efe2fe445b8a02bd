"""What the cache knows without its file."""

from __future__ import annotations

import hashlib
import os

from gateway.cache.presence import Presence


def _digest(number: int) -> bytes:
    return hashlib.sha256(b"%d" % number).digest()


def test_what_was_added_is_never_missed_and_most_others_are() -> None:
    presence = Presence(map(_digest, range(1000)))
    presence.add(map(_digest, range(1000, 20_000)))
    assert all(presence.may_have(_digest(number)) for number in range(20_000))
    assert sum(presence.may_have(_digest(number)) for number in range(20_000, 40_000)) < 20


def test_it_is_filled_anew_with_what_is_left() -> None:
    presence = Presence(map(_digest, range(10)))
    presence.fill([_digest(3)])
    assert [number for number in range(10) if presence.may_have(_digest(number))] == [3]
    assert not presence.is_full


def test_a_worker_knows_what_another_added() -> None:
    presence = Presence()
    pid = os.fork()
    if pid == 0:
        presence.add([_digest(1)])
        os._exit(0)
    os.waitpid(pid, 0)
    assert presence.may_have(_digest(1))
    assert not presence.may_have(_digest(2))
