"""The key with which a site signs its own receipts: one that is named, or the site's, made once. Does I/O by its
effects.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from stackctl.core.bundle.format.installed_paths import OFFLINE_FOLDER, SITE_KEY, SITE_PUBLIC_KEY
from stackctl.core.bundle.format.signature import (
    SecretKey,
    build_secret_key,
    parse_secret_key,
    render_public_key,
    render_secret_key,
)
from stackctl.errors import ConfigError
from stackctl.operations.effects import Effects


def load_signing_key(effects: Effects, named: Path | None, make_random: Callable[[int], bytes]) -> SecretKey:
    """The named key, or the site's; the site's is made, with its public half beside it, where there is none yet.

    Raises:
        ConfigError: the file that was named does not exist.
        BundleError: the file holds no secret key.
    """
    path = named or effects.paths.site / OFFLINE_FOLDER / SITE_KEY
    text = effects.files.load_text(path)
    if text is not None:
        return parse_secret_key(text, str(path))
    if named is not None:
        raise ConfigError(f"The key {named} is not there.", "make a pair with 'stackctl offline-keygen'")
    key = build_secret_key(make_random(40))
    effects.files.save_text(path, render_secret_key(key), 0o600)
    effects.files.save_text(path.with_name(SITE_PUBLIC_KEY), render_public_key(key.public), 0o644)
    return key
