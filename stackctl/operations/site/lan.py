"""What the app lan starts with: the company's certificate, or the site's own authority; loaded and checked.

In: effects, settings. Out: a ``Pair``, findings. Reads through its effects; writes nothing.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from stackctl.core.apps.catalog import choose_apps
from stackctl.core.apps.lan import AUTHORITY_FILE, AUTHORITY_KEY_FILE, LAN, is_address, list_names
from stackctl.core.lan.names import parse_names
from stackctl.core.lan.pair import CERTIFICATE_SETTING, KEY_SETTING, OWN, Pair
from stackctl.core.settings.settings import Settings
from stackctl.errors import Finding, Severity
from stackctl.operations.effects import Effects

if TYPE_CHECKING:
    from stackctl.core.site.loaded_site import LoadedSite


def place_certificate(effects: Effects, settings: Settings) -> Settings:
    """The settings with the whole paths of the company's certificate and its key."""
    return replace(
        settings,
        lan_certificate=_place(effects, settings.lan_certificate),
        lan_certificate_key=_place(effects, settings.lan_certificate_key),
    )


def _place(effects: Effects, text: str) -> str:
    return str(effects.paths.site / text) if text else ""


def find_authority(effects: Effects) -> tuple[Path, Path]:
    """Paths of the certificate and the key of the site's own authority."""
    return effects.paths.state_dir / AUTHORITY_FILE, effects.paths.state_dir / AUTHORITY_KEY_FILE


def load_pair(effects: Effects, settings: Settings) -> Pair | None:
    """What the app lan starts with; None where STACK_APPS does not name it, or a file is not there.

    Args:
        settings: with whole paths.

    Raises:
        ConfigError: a file cannot be read.
    """
    if LAN not in choose_apps(settings):
        return None
    if is_company := bool(settings.lan_certificate):
        chain, key = Path(settings.lan_certificate), Path(settings.lan_certificate_key)
    else:
        chain, key = find_authority(effects)
    if is_company and not settings.lan_certificate_key:
        return None
    texts = effects.files.load_text(chain), effects.files.load_text(key)
    if texts[0] is None or texts[1] is None:
        return None
    return Pair(texts[0], texts[1], is_company)


def mark_pair(pair: Pair | None) -> str:
    """A digest that another certificate, or another key, has not; empty for none."""
    return hashlib.sha256(f"{pair.chain}\0{pair.key}".encode()).hexdigest()[:16] if pair else ""


def check_lan(effects: Effects, loaded: LoadedSite) -> tuple[Finding, ...]:
    """All that speaks against the app lan, and what soon will; nothing where there is no such app."""
    settings = loaded.process.settings
    if LAN not in choose_apps(settings):
        return ()
    try:
        names = parse_names(list_names(settings))
    except ValueError as error:
        return (Finding("LAN_NAMES", str(error), "name this machine: stackctl lan enable --name HOST"),)
    if not is_address(settings.lan_address):
        message = f"is '{settings.lan_address}'; expected an IP address of this machine"
        return (Finding("LAN_ADDRESS", message, "clear it to listen on every one"),)
    if loaded.pair is None:
        return tuple(_explain_missing(effects, settings))
    from stackctl.core.lan.checks import check_pair

    return (*_check_modes(effects, settings), *check_pair(loaded.pair, names, effects.clock.now()))


def describe_lan(effects: Effects, loaded: LoadedSite) -> tuple[Finding, ...]:
    """The same, and where nothing speaks against it, until when it is so."""
    if (found := check_lan(effects, loaded)) or loaded.pair is None:
        return found
    from stackctl.core.lan.checks import find_end

    whose = "the company's certificate" if loaded.pair.is_company else "the certificate authority"
    return (Finding(OWN, f"{whose} is valid until {find_end(loaded.pair):%Y-%m-%d}", severity=Severity.OK),)


def _explain_missing(effects: Effects, settings: Settings) -> Iterator[Finding]:
    if not settings.lan_certificate:
        message = f"there is no certificate authority in {find_authority(effects)[0].parent}"
        yield Finding(OWN, message, "run 'stackctl lan enable', which makes one")
        return
    if not settings.lan_certificate_key:
        yield Finding(KEY_SETTING, f"is not set, and {CERTIFICATE_SETTING} is", "name the certificate's key")
    for name, path in ((CERTIFICATE_SETTING, settings.lan_certificate), (KEY_SETTING, settings.lan_certificate_key)):
        if path and effects.files.load_text(Path(path)) is None:
            yield Finding(name, f"is {path}, which is not there", f"correct {name}")


def _check_modes(effects: Effects, settings: Settings) -> Iterator[Finding]:
    path = Path(settings.lan_certificate_key) if settings.lan_certificate else find_authority(effects)[1]
    mode = effects.files.load_facts(path).mode
    if mode is not None and mode & 0o077:
        message = f"others may read the key (mode {mode & 0o777:04o}, expected 0600)"
        name = KEY_SETTING if settings.lan_certificate else OWN
        yield Finding(name, message, f"chmod 600 '{path}'", Severity.WARNING, str(path))
