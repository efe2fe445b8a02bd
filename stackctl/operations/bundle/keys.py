"""Keys that bundles are signed and checked with: make a pair, find the public one that a site trusts.

In: a name for the files, or the setting. Out: keys. Does I/O through the functions passed in.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from stackctl.core.bundle.format.signature import (
    ID_BYTES,
    SEED_BYTES,
    PublicKey,
    build_secret_key,
    parse_public_key,
    render_public_key,
    render_secret_key,
)
from stackctl.errors import ConfigError
from stackctl.operations.effects import Effects, Files
from stackctl.operations.site.load_settings import load_dotenv

SECRET_SUFFIX, PUBLIC_SUFFIX = ".key", ".pub"
DEFAULT_PREFIX = "bundle"
PUBLIC_KEY_SETTING = "BUNDLE_PUBLIC_KEY"
# A line of base64 with 42 bytes.
PUBLIC_LINE_CHARACTERS = 56


@dataclass(frozen=True, slots=True)
class KeyFiles:
    """The files of a new pair of keys.

    Attributes:
        secret: path of the secret key's file, which has mode 0600.
        line: the public key as one line of text.
    """

    secret: Path
    public: Path
    name: str
    line: str


def make_keys(
    prefix: Path,
    make_random: Callable[[int], bytes],
    create_files: Callable[[Sequence[tuple[Path, str, int]]], None],
) -> KeyFiles:
    """Make a pair of keys as ``PREFIX.key`` and ``PREFIX.pub``.

    Args:
        make_random: gives so many bytes that nobody can guess.
        create_files: writes files, each with path, text and mode; all or none, and never over another file.

    Raises:
        ConfigError: one of the files is there already; it is left as it is.
    """
    key = build_secret_key(make_random(ID_BYTES + SEED_BYTES))
    secret, public = (prefix.with_name(prefix.name + suffix) for suffix in (SECRET_SUFFIX, PUBLIC_SUFFIX))
    text = render_public_key(key.public)
    create_files(((secret, render_secret_key(key), 0o600), (public, text, 0o644)))
    return KeyFiles(secret, public, key.public.name, text.splitlines()[-1])


def find_public_key(effects: Effects, given: str | None) -> PublicKey | None:
    """The key that bundles are checked with: the one given, or the setting's; ``None`` where there is neither.

    Args:
        given: path of a file, or the key's line itself.

    Raises:
        ConfigError: what is named is neither a file nor a key.
        BundleError: the file is no public key.
    """
    if given:
        return _load_public_key(effects.files, given, "--key", Path())
    setting = effects.given.environment.get(PUBLIC_KEY_SETTING) or load_dotenv(effects).values.get(PUBLIC_KEY_SETTING)
    return _load_public_key(effects.files, setting, PUBLIC_KEY_SETTING, effects.paths.site) if setting else None


def _load_public_key(files: Files, value: str, source: str, folder: Path) -> PublicKey:
    text = files.load_text(folder / value) if len(value) < 4096 and "\0" not in value else None
    if text is not None:
        return parse_public_key(text, f"{source}, {value},")
    if len(value) == PUBLIC_LINE_CHARACTERS:
        return parse_public_key(value, source)
    raise ConfigError(
        f"{source} is neither a file nor a public key: {value[:80]!r}.",
        "give the path of bundle.pub, or its second line",
    )
