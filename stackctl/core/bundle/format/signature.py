"""Ed25519 signatures in minisign's file formats, so that a site can check a bundle with minisign itself.

Bytes and text in, text and values out. The random bytes of a new key are passed in. Secret keys are written as
minisign writes them without a password (``minisign -G -W``): the file's mode protects them.

Source: minisign's description of its formats (keys, prehashed signatures, trusted comments).
"""

from __future__ import annotations

import base64
import binascii
import hashlib
from dataclasses import dataclass, field

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from stackctl.errors import BundleError

KEY_ALGORITHM = b"Ed"
PREHASHED = b"ED"  # the signature is over the BLAKE2b-512 digest, so a verifier never holds the whole file
CHECKSUM = b"B2"
NO_PASSWORD = bytes(2)
SEED_BYTES = 32
ID_BYTES = 8
SIGNATURE_BYTES = 64
MAX_FILE_CHARACTERS = 4096
_TRUSTED = "trusted comment: "
_KEY_HINT = "make a pair with 'stackctl offline-keygen'"
_PUBLIC_HINT = "give the packer's public key: the file that ends in .pub, or its second line"
_PUBLIC_KEY_BYTES, _SECRET_KEY_BYTES = 2 + ID_BYTES + 32, 158


class AlteredContent(BundleError):
    """A signature is whole, and the content is not what was signed."""


@dataclass(frozen=True, slots=True)
class PublicKey:
    """What a site checks bundles with.

    Attributes:
        key_id: 8 bytes that tell keys apart; chosen with the key, not derived from it.
        key: the 32 bytes of the Ed25519 public key.
    """

    key_id: bytes
    key: bytes

    @property
    def name(self) -> str:
        """The key's identifier as minisign prints it: 16 hexadecimal digits."""
        return self.key_id[::-1].hex().upper()


@dataclass(frozen=True, slots=True)
class SecretKey:
    """What a packer signs with."""

    key_id: bytes
    seed: bytes = field(repr=False)

    @property
    def public(self) -> PublicKey:
        """The public half of the key."""
        key = Ed25519PrivateKey.from_private_bytes(self.seed).public_key()
        return PublicKey(self.key_id, key.public_bytes(Encoding.Raw, PublicFormat.Raw))


def build_secret_key(random: bytes) -> SecretKey:
    """A new key from 40 random bytes."""
    return SecretKey(random[:ID_BYTES], random[ID_BYTES : ID_BYTES + SEED_BYTES])


def render_public_key(key: PublicKey) -> str:
    """The public key's file: a comment and one line that a person can read out."""
    return _render_file(f"minisign public key {key.name}", KEY_ALGORITHM + key.key_id + key.key)


def render_secret_key(key: SecretKey) -> str:
    """The text of the secret key's file, which needs mode 0600."""
    pair = key.key_id + key.seed + key.public.key
    checksum = hashlib.blake2b(KEY_ALGORITHM + pair, digest_size=32).digest()
    # Salt and limits of the password function, which is not used.
    unused = bytes(32 + 8 + 8)
    return _render_file("minisign secret key", KEY_ALGORITHM + NO_PASSWORD + CHECKSUM + unused + pair + checksum)


def parse_public_key(text: str, name: str = "the public key") -> PublicKey:
    """Read a public key: the whole file, or its base64 line alone.

    Raises:
        BundleError: the text is no minisign public key.
    """
    lines = [line for line in text[:MAX_FILE_CHARACTERS].splitlines() if line.strip()]
    data = _decode(lines[-1] if lines else "", name, _PUBLIC_HINT)
    if len(data) == _SECRET_KEY_BYTES:
        message = f"{name} is a secret key, which signs and stays with whoever packs; expected is its public half."
        raise BundleError(message, _PUBLIC_HINT)
    if len(data) != _PUBLIC_KEY_BYTES or data[:2] != KEY_ALGORITHM:
        raise BundleError(f"{name} is no Ed25519 public key in minisign's format.", _PUBLIC_HINT)
    return PublicKey(data[2:10], data[10:])


def parse_secret_key(text: str, name: str = "the secret key") -> SecretKey:
    """Read a secret key without a password.

    Raises:
        BundleError: the text is no secret key, is damaged, or is locked with a password.
    """
    lines = [line for line in text[:MAX_FILE_CHARACTERS].splitlines() if line.strip()]
    data = _decode(lines[-1] if lines else "", name, _KEY_HINT)
    if len(data) == _PUBLIC_KEY_BYTES:
        message = f"{name} is a public key, which only checks; expected is the secret key of the pair."
        raise BundleError(message, "give the file that ends in .key; without one, " + _KEY_HINT)
    if len(data) != _SECRET_KEY_BYTES or data[:2] != KEY_ALGORITHM or data[4:6] != CHECKSUM:
        raise BundleError(f"{name} is no Ed25519 secret key in minisign's format.", _KEY_HINT)
    if data[2:4] != NO_PASSWORD:
        raise BundleError(f"{name} is locked with a password, which is not supported.", _KEY_HINT)
    key = SecretKey(data[54:62], data[62:94])
    checksum = hashlib.blake2b(KEY_ALGORITHM + data[54:126], digest_size=32).digest()
    # minisign itself leaves the checksum of a key without a password out.
    if data[126:] not in (checksum, bytes(len(checksum))) or key.public.key != data[94:126]:
        raise BundleError(f"{name} is damaged: its checksum does not match.", "use a copy that is whole")
    return key


def sign(secret: SecretKey, data: bytes, comment: str) -> str:
    """The signature file of ``data``; Ed25519 is deterministic, so equal input gives equal text.

    Args:
        comment: one line of text that is signed too.
    """
    key = Ed25519PrivateKey.from_private_bytes(secret.seed)
    signature = key.sign(hashlib.blake2b(data).digest())
    packed, both = PREHASHED + secret.key_id + signature, key.sign(signature + comment.encode())
    return _render_signature(f"signature from key {secret.public.name}", packed, comment, both)


def verify(public: PublicKey, data: bytes, signature_text: str) -> str:
    """Check a signature file; returns its trusted comment.

    Raises:
        AlteredContent: the data is not what was signed.
        BundleError: another key signed, or the signature file was altered or is none.
    """
    packed, both, comment = _parse_signature(signature_text)
    if packed[2:10] != public.key_id:
        signer = packed[2:10][::-1].hex().upper()
        raise BundleError(
            f"Key {signer} signed this; expected was key {public.name}.",
            f"if {signer} is the packer's key, give its public half with --key, brought by another way than the bundle;"
            " if not, do not use the bundle",
        )
    if not _holds(public, both, packed[10:] + comment.encode("utf-8", "surrogateescape")):
        raise BundleError("The signature file was altered after it was written.", "copy the bundle again")
    if not _holds(public, packed[10:], hashlib.blake2b(data).digest()):
        raise AlteredContent(
            f"The content was altered after key {public.name} signed it.",
            "do not use it; copy it again from its source",
        )
    return comment


def _holds(public: PublicKey, signature: bytes, data: bytes) -> bool:
    try:
        Ed25519PublicKey.from_public_bytes(public.key).verify(signature, data)
    except InvalidSignature:
        return False
    return True


def _parse_signature(text: str) -> tuple[bytes, bytes, str]:
    """The signature with its head, the signature over both it and the comment, and the comment."""
    lines = text.split("\n")
    if len(text) > MAX_FILE_CHARACTERS or len(lines) != 5 or not lines[2].startswith(_TRUSTED):
        raise BundleError("The signature is not a signature file of minisign's format.", "copy the bundle again")
    packed, both = (_decode(line, "the signature", "copy the bundle again") for line in (lines[1], lines[3]))
    if len(packed) != 2 + ID_BYTES + SIGNATURE_BYTES or packed[:2] != PREHASHED or len(both) != SIGNATURE_BYTES:
        raise BundleError("The signature is not an Ed25519 signature of minisign's format.", "copy the bundle again")
    # The first line is not signed, and base64 has several spellings: only the one spelling is taken.
    signer = packed[2:10][::-1].hex().upper()
    heads = (f"signature from key {signer}", "signature from minisign secret key")
    comment = lines[2].removeprefix(_TRUSTED)
    if text not in {_render_signature(head, packed, comment, both) for head in heads}:
        raise BundleError("The signature file was altered in what nobody signed.", "copy the bundle again")
    return packed, both, comment


def _render_signature(head: str, packed: bytes, comment: str, both: bytes) -> str:
    return f"untrusted comment: {head}\n{_encode(packed)}\n{_TRUSTED}{comment}\n{_encode(both)}\n"


def _render_file(comment: str, data: bytes) -> str:
    return f"untrusted comment: {comment}\n{_encode(data)}\n"


def _encode(data: bytes) -> str:
    return base64.b64encode(data).decode()


def _decode(text: str, name: str, hint: str) -> bytes:
    try:
        return base64.b64decode(text.strip(), validate=True)
    except (binascii.Error, ValueError):
        raise BundleError(f"{name} is not base64 text.", hint) from None
