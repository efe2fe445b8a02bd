"""What the gateway said of keys, by their hashes and for seconds alone. Does no I/O."""

from __future__ import annotations

import time
from collections import OrderedDict

from chat_api.service.keys import KeyKind, SelectedKey, hash_key

# For so long, from the moment before the gateway was asked, a key that was revoked may still open what is kept here.
_VALID_S = 15.0
# How long a key is taken for a provider's without asking the gateway again.
_STRANGER_S = 60.0
_MOST = 1000


class Verdicts:
    """The newest verdicts: which keys the gateway took, and which it does not know.

    A refusal is not remembered but for a provider's key: it is asked for anew, and so ends with its cause.
    """

    def __init__(self) -> None:
        self._held: OrderedDict[tuple[str, bytes], tuple[float, KeyKind]] = OrderedDict()

    def find(self, key: SelectedKey) -> KeyKind | None:
        """Who knows a key; None where that is to be asked."""
        until, kind = self._held.get(name_key(key), (0.0, None))
        return kind if until > time.monotonic() else None

    def keep(self, key: SelectedKey, kind: KeyKind, asked_at: float) -> None:
        """Remember who knows a key.

        Args:
            asked_at: when the gateway was asked, by the monotonic clock: it judged no earlier.
        """
        name = name_key(key)
        self._held[name] = asked_at + (_VALID_S if kind == "gateway" else _STRANGER_S), kind
        self._held.move_to_end(name)
        while len(self._held) > _MOST:
            self._held.popitem(last=False)

    def forget(self, key: SelectedKey) -> None:
        """Have the gateway asked again."""
        self._held.pop(name_key(key), None)


def name_key(key: SelectedKey) -> tuple[str, bytes]:
    """By which a verdict is found: the service's own key, which may be somebody's, too, is never a provider's."""
    return key.source, hash_key(key.key)
