"""Bring the gateway into the local network by TLS, and take it back: `.env`, the site's authority, a running stack.

In: names, or the company's certificate. Out: what was done, or what is. Does I/O through its effects.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes

from stackctl.core.apps.catalog import choose_apps
from stackctl.core.apps.lan import LAN, find_url, list_names
from stackctl.core.lan.authority import Authority, list_outside
from stackctl.core.lan.checks import check_pair, find_end
from stackctl.core.lan.names import Names, parse_names
from stackctl.core.lan.pair import Pair
from stackctl.core.settings.dotenv import set_values
from stackctl.core.settings.settings import Settings, split_names
from stackctl.core.settings.sources import Origin
from stackctl.errors import ConfigError, Finding, StackError, raise_config_error
from stackctl.operations.effects import Effects
from stackctl.operations.run.up import run_up
from stackctl.operations.site.lan import check_lan, find_authority, load_pair, place_certificate
from stackctl.operations.site.load import load_site
from stackctl.operations.site.load_settings import load_settings
from stackctl.operations.site.state import load_state

SETTING = "STACK_APPS"


@dataclass(frozen=True, slots=True)
class LanEffects:
    """What is done beyond the effects of every operation.

    Attributes:
        find_own_names: names under which this machine may be known to others.
        make_authority: a new authority for these names at this time.
    """

    find_own_names: Callable[[], tuple[str, ...]]
    make_authority: Callable[[Names, datetime], Authority]


@dataclass(frozen=True, slots=True)
class Wanted:
    """What the person asks for; what is empty stays as it is.

    Attributes:
        certificate, key: paths of the company's certificate and its key.
        is_new_ca: whether the site's authority is made anew.
    """

    names: tuple[str, ...] = ()
    certificate: str = ""
    key: str = ""
    port: int | None = None
    address: str = ""
    is_new_ca: bool = False


@dataclass(frozen=True, slots=True)
class Changed:
    """What was done.

    Attributes:
        authority: path of the authority's certificate, if it was made now.
        is_running: whether the stack runs, and was changed.
        warnings: of the start.
    """

    authority: Path | None
    is_running: bool
    warnings: tuple[Finding, ...] = ()


@dataclass(frozen=True, slots=True)
class Shown:
    """The gateway in the local network as it is set.

    Attributes:
        url: its address for other machines; empty where the app is off.
        certificate: path of what others are to trust; of the company's certificate, its own path.
        fingerprint: SHA-256 of that certificate, as clients show it.
        end: when that certificate expires.
        findings: what speaks against it.
    """

    url: str
    names: tuple[str, ...] = ()
    certificate: str = ""
    fingerprint: str = ""
    end: str = ""
    is_company: bool = False
    findings: tuple[Finding, ...] = ()


def enable(effects: Effects, lan: LanEffects, wanted: Wanted) -> Changed:
    """Set up the app lan, make an authority where there is none, and start it where the stack runs.

    Raises:
        ConfigError: a name, the certificate or its key cannot be used; nothing was changed.
    """
    with effects.files.hold_lock(effects.paths.state_dir / "lock"):
        settings = _load(effects)
        names = _choose_names(settings, lan, wanted)
        values = _list_values(settings, names, wanted)
        authority = None
        if values.get("LAN_CERTIFICATE", settings.lan_certificate):
            _check_company(effects, settings, names, values)
        else:
            authority = _provide_authority(effects, lan, names, is_new=wanted.is_new_ca)
        apps = split_names(settings.stack_apps)
        before = _write(effects, {SETTING: ",".join([*apps, *([] if LAN.name in apps else [LAN.name])]), **values})
    is_running, warnings = _apply(effects, before)
    return Changed(authority, is_running, warnings)


def disable(effects: Effects) -> Changed:
    """Take the app lan away, and stop it where the stack runs; names and authority stay for another time."""
    with effects.files.hold_lock(effects.paths.state_dir / "lock"):
        settings = _load(effects)
        apps = [name for name in split_names(settings.stack_apps) if name != LAN.name]
        before = _write(effects, {SETTING: ",".join(apps)})
    is_running, warnings = _apply(effects, before)
    return Changed(None, is_running, warnings)


def show(effects: Effects) -> Shown:
    """How other machines reach the gateway."""
    loaded = load_site(effects)
    settings = loaded.process.settings
    if LAN not in choose_apps(settings):
        return Shown("")
    findings = check_lan(effects, loaded)
    names = list_names(settings)
    url = find_url(settings)
    if loaded.pair is None:
        return Shown(url, tuple(names), findings=findings)
    path = settings.lan_certificate or str(find_authority(effects)[0])
    try:
        certificate = x509.load_pem_x509_certificates(loaded.pair.chain.encode())[0]
    except ValueError:
        return Shown(url, tuple(names), path, findings=findings)
    fingerprint = certificate.fingerprint(hashes.SHA256()).hex(":").upper()
    end = f"{find_end(loaded.pair):%Y-%m-%d}"
    return Shown(url, tuple(names), path, fingerprint, end, loaded.pair.is_company, findings)


def _load(effects: Effects) -> Settings:
    """The settings; what the shell says would win over `.env`, where this is written.

    Raises:
        ConfigError: STACK_APPS is set in the shell.
    """
    resolved, _ = load_settings(effects)
    if resolved.origins[SETTING] is Origin.ENVIRONMENT:
        raise ConfigError(f"{SETTING} is set in this shell, and counts before .env.", f"unset {SETTING}")
    return resolved.values


def _choose_names(settings: Settings, lan: LanEffects, wanted: Wanted) -> Names:
    given = wanted.names or tuple(list_names(settings)) or lan.find_own_names()
    try:
        return parse_names(given)
    except ValueError as error:
        raise ConfigError(f"LAN_NAMES: {error}.", "name this machine: --name gpu.example") from error


def _list_values(settings: Settings, names: Names, wanted: Wanted) -> dict[str, str]:
    """What is written to `.env` beside STACK_APPS."""
    others = [name for name in names if name != names.first]
    values = {"LAN_NAMES": ",".join([names.first, *others])}
    if wanted.port is not None:
        values["LAN_PORT"] = str(wanted.port)
    if wanted.address:
        values["LAN_ADDRESS"] = wanted.address
    if wanted.certificate:
        values |= {"LAN_CERTIFICATE": wanted.certificate, "LAN_CERTIFICATE_KEY": wanted.key}
    elif wanted.is_new_ca and settings.lan_certificate:
        values |= {"LAN_CERTIFICATE": "", "LAN_CERTIFICATE_KEY": ""}
    return values


def _check_company(effects: Effects, settings: Settings, names: Names, values: Mapping[str, str]) -> None:
    """Refuse a certificate that cannot be used."""
    certificate = values.get("LAN_CERTIFICATE", settings.lan_certificate)
    key = values.get("LAN_CERTIFICATE_KEY", settings.lan_certificate_key)
    named = replace(settings, stack_apps=LAN.name, lan_certificate=certificate, lan_certificate_key=key)
    pair = load_pair(effects, place_certificate(effects, named))
    if pair is None:
        raise ConfigError(f"{certificate} or {key or 'its key'} is not there.", "name both: --certificate and --key")
    raise_config_error("The certificate cannot be used.", check_pair(pair, names, effects.clock.now()))


def _provide_authority(effects: Effects, lan: LanEffects, names: Names, *, is_new: bool) -> Path | None:
    """Make an authority where there is none, or where it is wanted anew; its path if so."""
    path, key_path = find_authority(effects)
    text, key = effects.files.load_text(path), effects.files.load_text(key_path)
    if text is None or key is None or is_new:
        made = lan.make_authority(names, effects.clock.now())
        effects.files.save_text(key_path, made.key, 0o600)
        effects.files.save_text(path, made.certificate, 0o644)
        return path
    findings = check_pair(Pair(text, key), names, effects.clock.now())
    if findings and list_outside(x509.load_pem_x509_certificate(text.encode()), names):
        hint = "add --new-ca for another authority; every machine has to trust that one anew"
        raise ConfigError("The site's certificate authority is for other names.", hint, findings)
    raise_config_error("The site's certificate authority cannot be used.", findings)
    return None


def _write(effects: Effects, values: Mapping[str, str]) -> str:
    """Write `.env`; its text before."""
    path = effects.paths.site / ".env"
    before = effects.files.load_text(path) or ""
    if wrong := [value for value in values.values() if re.search(r"['\\\n]", value)]:
        raise ConfigError(f"{wrong[0]!r} cannot be written to .env.", "give the file a name without quotes")
    quoted = {
        name: value if re.fullmatch(r"[A-Za-z0-9_.,:/@%+\[\]-]*", value) else f"'{value}'"
        for name, value in values.items()
    }
    effects.files.save_text(path, set_values(before, quoted), 0o600)
    return before


def _apply(effects: Effects, before: str) -> tuple[bool, tuple[Finding, ...]]:
    """Bring a running stack to what `.env` says now; where that fails, `.env` is as it was before."""
    if load_state(effects.files, effects.paths) is None:
        return False, ()
    try:
        return True, run_up(effects).warnings
    except StackError:
        effects.files.save_text(effects.paths.site / ".env", before, 0o600)
        raise
