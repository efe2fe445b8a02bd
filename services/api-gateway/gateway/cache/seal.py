"""Encrypt what is kept, with AES-256-GCM. Does no I/O.

In: the site's key, and an answer with what belongs to it. Out: a nonce, the encrypted answer and its tag. What was
changed, or sealed with another key, is not opened.
"""

from __future__ import annotations

import hmac
import os

_NONCE_BYTES = 12


class Seal:
    """Seals and opens with one key of the site.

    Args:
        secret: the key, of any length; each purpose has its own key made of it.

    Attributes:
        digest_key: by which digests are made.
        mark: tells this key from others, and nothing of it.
    """

    def __init__(self, secret: str) -> None:
        # Imported for a site that encrypts, and by no other: it takes 4 MB.
        from cryptography.exceptions import InvalidTag
        from cryptography.hazmat.primitives.ciphers.aead import AESGCM

        key, self.digest_key, self.mark = (
            hmac.digest(secret.encode(), f"gateway cache {purpose}".encode(), "sha256")
            for purpose in ("answers", "digests", "mark")
        )
        self._cipher = AESGCM(key)
        self._wrong = (InvalidTag, ValueError)  # the second for less than a nonce

    def close(self, answer: bytes, about: bytes) -> bytes:
        """The sealed answer; ``about`` is not in it, and must be the same to open it."""
        nonce = os.urandom(_NONCE_BYTES)
        return nonce + self._cipher.encrypt(nonce, answer, about)

    def open(self, sealed: bytes, about: bytes) -> bytes | None:
        """The answer; None where the key is another one, or anything was changed."""
        try:
            return self._cipher.decrypt(sealed[:_NONCE_BYTES], sealed[_NONCE_BYTES:], about)
        except self._wrong:
            return None
