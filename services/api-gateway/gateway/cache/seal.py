"""Encrypt what is kept: AES-256-GCM of OpenSSL's libcrypto, which Python's own ``ssl`` stands on. Does no I/O.

In: the site's key, and an answer with what belongs to it. Out: a nonce, the encrypted answer and its tag. What was
changed, or sealed with another key, is not opened.
"""

from __future__ import annotations

import ctypes
import hmac
import os
import ssl
from ctypes import byref, c_char_p, c_int, c_void_p, create_string_buffer

_NONCE_BYTES, TAG_BYTES = 12, 16
# Of OpenSSL's evp.h: EVP_CTRL_AEAD_GET_TAG and EVP_CTRL_AEAD_SET_TAG.
_GET_TAG, _SET_TAG = 0x10, 0x11
_INIT = [c_void_p, c_void_p, c_void_p, c_char_p, c_char_p]
_UPDATE = [c_void_p, c_char_p, c_void_p, c_char_p, c_int]
_FINAL = [c_void_p, c_char_p, c_void_p]
_PROTOTYPES = {
    "EVP_CIPHER_CTX_new": (c_void_p, []),
    "EVP_CIPHER_CTX_free": (None, [c_void_p]),
    "EVP_CIPHER_CTX_ctrl": (c_int, [c_void_p, c_int, c_int, c_void_p]),
    "EVP_aes_256_gcm": (c_void_p, []),
    "EVP_EncryptInit_ex": (c_int, _INIT),
    "EVP_EncryptUpdate": (c_int, _UPDATE),
    "EVP_EncryptFinal_ex": (c_int, _FINAL),
    "EVP_DecryptInit_ex": (c_int, _INIT),
    "EVP_DecryptUpdate": (c_int, _UPDATE),
    "EVP_DecryptFinal_ex": (c_int, _FINAL),
}


class SealError(Exception):
    """Nothing can be encrypted here; the message says why in a few words."""


class Seal:
    """Seals and opens with one key of the site.

    Args:
        secret: the key, of any length; each purpose has its own key made of it.

    Attributes:
        digest_key: by which digests are made.
        mark: tells this key from others, and nothing of it.

    Raises:
        SealError: there is no libcrypto.
    """

    def __init__(self, secret: str) -> None:
        self._library = _load()
        self._key, self.digest_key, self.mark = (
            hmac.digest(secret.encode(), f"gateway cache {purpose}".encode(), "sha256")
            for purpose in ("answers", "digests", "mark")
        )

    def close(self, answer: bytes, about: bytes) -> bytes:
        """The sealed answer; ``about`` is not in it, and must be the same to open it."""
        nonce = os.urandom(_NONCE_BYTES)
        return nonce + encrypt(self._library, self._key, nonce, answer, about)

    def open(self, sealed: bytes, about: bytes) -> bytes | None:
        """The answer; None where the key is another one, or anything was changed."""
        return decrypt(self._library, self._key, sealed[:_NONCE_BYTES], sealed[_NONCE_BYTES:], about)


def encrypt(library: ctypes.CDLL, key: bytes, nonce: bytes, text: bytes, about: bytes) -> bytes:
    """The encrypted text and its tag behind it."""
    context = library.EVP_CIPHER_CTX_new()
    try:
        out, tag, length = create_string_buffer(len(text) or 1), create_string_buffer(TAG_BYTES), c_int()
        done = (
            library.EVP_EncryptInit_ex(context, library.EVP_aes_256_gcm(), None, key, nonce) == 1
            and library.EVP_EncryptUpdate(context, None, byref(length), about, len(about)) == 1
            and library.EVP_EncryptUpdate(context, out, byref(length), text, len(text)) == 1
            and library.EVP_EncryptFinal_ex(context, create_string_buffer(TAG_BYTES), byref(c_int())) == 1
            and library.EVP_CIPHER_CTX_ctrl(context, _GET_TAG, TAG_BYTES, tag) == 1
        )
    finally:
        library.EVP_CIPHER_CTX_free(context)
    if not done or length.value != len(text):
        raise SealError("libcrypto does not encrypt")
    return out.raw[: len(text)] + tag.raw


def decrypt(library: ctypes.CDLL, key: bytes, nonce: bytes, sealed: bytes, about: bytes) -> bytes | None:
    """The text; None where the tag is not that of these."""
    size = len(sealed) - TAG_BYTES
    if size < 0 or len(nonce) != _NONCE_BYTES:
        return None
    context = library.EVP_CIPHER_CTX_new()
    try:
        out, length = create_string_buffer(size or 1), c_int()
        tag = create_string_buffer(sealed[size:], TAG_BYTES)
        is_right = (
            library.EVP_DecryptInit_ex(context, library.EVP_aes_256_gcm(), None, key, nonce) == 1
            and library.EVP_DecryptUpdate(context, None, byref(length), about, len(about)) == 1
            and library.EVP_DecryptUpdate(context, out, byref(length), sealed, size) == 1
            and library.EVP_CIPHER_CTX_ctrl(context, _SET_TAG, TAG_BYTES, tag) == 1
            and library.EVP_DecryptFinal_ex(context, create_string_buffer(TAG_BYTES), byref(c_int())) == 1
        )
    finally:
        library.EVP_CIPHER_CTX_free(context)
    return out.raw[:size] if is_right else None


def _load() -> ctypes.CDLL:
    """The libcrypto that is loaded already, by the name that its version gives it."""
    major = ssl.OPENSSL_VERSION_INFO[0]
    end = "1.1" if major == 1 else str(major)
    for name in (f"libcrypto.so.{end}", f"libcrypto.{end}.dylib", "libcrypto.so"):
        try:
            library = ctypes.CDLL(name)
        except OSError:
            continue
        if hasattr(library, "EVP_aes_256_gcm"):
            for function, (result, arguments) in _PROTOTYPES.items():
                getattr(library, function).restype = result
                getattr(library, function).argtypes = arguments
            return library
    raise SealError("there is no libcrypto to encrypt it with")
