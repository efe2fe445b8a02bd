"""Whether certificates can be used for a site's names, before anything starts with them: PEM in, findings out. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta
from itertools import pairwise

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.types import PrivateKeyTypes
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_pem_private_key

from stackctl.core.lan.authority import BACKDATED, list_outside
from stackctl.core.lan.names import Names
from stackctl.core.lan.pair import CERTIFICATE_SETTING, KEY_SETTING, OWN, Pair
from stackctl.errors import Finding, Severity

# Time in which a company gives out another certificate, and in which all machines learn of another authority.
COMPANY_NOTICE, OWN_NOTICE = timedelta(days=30), timedelta(days=180)
_RENEW_OWN = "run 'stackctl lan enable --new-ca', and have the other machines trust the new one"
_SYNCHRONIZE = "set the clock (timedatectl set-ntp true, or the company's time server)"


def check_pair(pair: Pair, names: Names, now: datetime) -> tuple[Finding, ...]:
    """All that speaks against serving these names with this pair, and what soon will.

    Args:
        now: time with its zone.
    """
    place, key_place = (CERTIFICATE_SETTING, KEY_SETTING) if pair.is_company else (OWN, OWN)
    findings: list[Finding] = []
    try:
        chain = x509.load_pem_x509_certificates(pair.chain.encode())
    except ValueError:
        return (Finding(place, "holds no certificate in PEM form", "it begins with -----BEGIN CERTIFICATE-----"),)
    try:
        key = load_pem_private_key(pair.key.encode(), None)
    except TypeError:
        hint = "write it without one: openssl pkey -in KEY -out FILE, and chmod 600 FILE"
        return (Finding(key_place, "holds a key that a password protects, which nobody could enter", hint),)
    except ValueError:
        return (Finding(key_place, "holds no private key in PEM form", "name the certificate's own key"),)
    findings += _check_match(chain, key, key_place)
    findings += _check_times(chain[0], pair, place, now)
    findings += _check_names(chain[0], pair, names, place)
    return tuple(findings)


def find_end(pair: Pair) -> datetime:
    """When the first certificate of a pair expires."""
    return x509.load_pem_x509_certificates(pair.chain.encode())[0].not_valid_after_utc


def _check_match(chain: list[x509.Certificate], key: PrivateKeyTypes, place: str) -> Iterator[Finding]:
    own = key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    places = [
        number
        for number, item in enumerate(chain, 1)
        if item.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo) == own
    ]
    if not places:
        yield Finding(place, "is the key of another certificate", "name the key that the certificate was made with")
    elif places[0] != 1:
        message = f"is the key of certificate {places[0]} in the file; the server's own has to be the first"
        yield Finding(place, message, "put the server's certificate first, and those of its issuers after it")
    for number, (item, issuer) in enumerate(pairwise(chain), 1):
        if item.issuer != issuer.subject:
            message = f"certificate {number + 1} in the file did not issue certificate {number}"
            yield Finding(place, message, "order them: the server's, its issuer's, and so on", Severity.WARNING)


def _check_times(first: x509.Certificate, pair: Pair, place: str, now: datetime) -> Iterator[Finding]:
    start, end = first.not_valid_before_utc, first.not_valid_after_utc
    renew = "have the company give out another, then run 'stackctl up'" if pair.is_company else _RENEW_OWN
    if now < start:
        message = f"is valid from {start:%Y-%m-%d %H:%M} UTC; this machine's clock says {now:%Y-%m-%d %H:%M} UTC"
        yield Finding(place, message, _SYNCHRONIZE)
    elif not pair.is_company and now < start + BACKDATED:
        made = start + BACKDATED
        message = f"was made on {made:%Y-%m-%d %H:%M} UTC; this machine's clock says {now:%Y-%m-%d %H:%M} UTC"
        yield Finding(place, message, _SYNCHRONIZE, Severity.WARNING)
    if now >= end:
        yield Finding(place, f"expired on {end:%Y-%m-%d}; clients refuse it", renew)
    elif now >= end - (COMPANY_NOTICE if pair.is_company else OWN_NOTICE):
        yield Finding(place, f"expires on {end:%Y-%m-%d}", renew, Severity.WARNING)


def _check_names(first: x509.Certificate, pair: Pair, names: Names, place: str) -> Iterator[Finding]:
    if not pair.is_company:
        if outside := list_outside(first, names):
            message = f"the authority cannot vouch for {', '.join(outside)}: it was made for other names"
            yield Finding(place, message, _RENEW_OWN)
        return
    missing = [name for name in names if not _is_for(first, name)]
    if missing:
        message = f"is not for {', '.join(missing)}"
        yield Finding(place, message, "correct LAN_NAMES, or have a certificate made with these names (SAN)")


def _is_for(certificate: x509.Certificate, name: str) -> bool:
    try:
        known = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return False
    if name in map(str, known.get_values_for_type(x509.IPAddress)):
        return True
    hosts = [item.lower() for item in known.get_values_for_type(x509.DNSName)]
    # A wildcard stands for one label.
    return name in hosts or f"*.{name.partition('.')[2]}" in hosts
