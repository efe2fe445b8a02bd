"""By what an answer is found again: everything that changes it, and who may have it. Pure.

In: a request and its route. Out: 32 bytes that are the same for equal requests and no others. Of the request itself
nothing is kept but these.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Callable, Mapping
from typing import Any

import orjson

from gateway.catalog.values import Route
from gateway.formats.call import Call
from gateway.policy.rights import is_local_only
from gateway.state.values import Caller

# Turns what an answer depends on into the digest; keyed where the answers are encrypted.
Hash = Callable[[bytes], bytes]


def hash_plain(data: bytes) -> bytes:
    """SHA-256."""
    return hashlib.sha256(data).digest()


def hash_keyed(secret: bytes) -> Hash:
    """HMAC-SHA-256: whoever has the file alone cannot try out what was asked."""
    return lambda data: hmac.digest(secret, data, "sha256")


class DigestBuilder:
    """Makes the digests of one gateway.

    Args:
        code: what tells this gateway's program from another version's.
        secrets: what is known of the keys of the environment, by their callers' names: another one is another's.
    """

    def __init__(self, code: str, hash_: Hash = hash_plain, secrets: Mapping[str, str] | None = None) -> None:
        self._code = code
        self._secrets = secrets or {}
        self._hash = hash_
        self._revisions: dict[tuple[str, bool], str] = {}

    def build(self, call: Call, route: Route) -> bytes | None:
        """The digest of a request; None for one that is nested too deeply to be written as JSON.

        The order of the fields says nothing; within them it may: a model's template shows tools as they were written.
        """
        facts: list[Any] = [
            self._find_revision(route, call.caller),
            self._name_owner(call.caller, route),
            call.format,
            call.asked,
            sorted(call.headers.items()),
            sorted(call.body.items(), key=lambda item: item[0]),
        ]
        try:
            return self._hash(orjson.dumps(facts))
        except (TypeError, RecursionError):
            return None

    def _name_owner(self, caller: Caller, route: Route) -> str:
        """Whose an answer is: the key's, also where another database begins its numbers anew; nobody's if it is shared.

        Where it is shared, the rights are in the revision: it names the servers that may be asked for this caller.
        """
        if route.cache and route.cache.is_shared:
            return ""
        key = caller.key
        return f"key {key.id} {key.created_at!r} {key.name}" if key else self._secrets.get(caller.name, caller.name)

    def _find_revision(self, route: Route, caller: Caller) -> str:
        place = route.name, is_local_only(caller, route)
        found = self._revisions.get(place)
        if found is None:
            found = self._revisions[place] = _describe(route, self._code, is_local=place[1])
        return found


def _describe(route: Route, code: str, is_local: bool) -> str:
    """The route as far as it changes answers: its program, its defaults, the servers that may be asked."""
    targets = [
        [item.name, item.provider.name, item.provider.kind, item.provider.is_local, item.model, item.revision,
         item.base_url, item.key, item.headers, item.context_length, item.tools, item.images]
        for item in route.targets
        if item.provider.is_local or not is_local
    ]  # fmt: skip
    facts = orjson.dumps([code, route.name, sorted(route.defaults.items()), targets])
    return hashlib.sha256(facts).hexdigest()
