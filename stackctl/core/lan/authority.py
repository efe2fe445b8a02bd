"""A certificate authority of a site's own, which can vouch for the site's names and for nothing else. Pure.

PEM in, PEM out; the key and the time are passed in. Whoever steals its key can pretend to be this site, and no other
server: the names stand in the certificate as critical constraints, which clients enforce.

Source: RFC 5280, section 4.2.1.10 (name constraints).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from ipaddress import IPv4Network, IPv6Network, ip_network

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from stackctl.core.lan.names import Names

LIFETIME = timedelta(days=3650)
# A client whose clock is behind takes it all the same.
BACKDATED = timedelta(days=2)
# A kind of name that is not mentioned is not constrained: these stand for "none of this kind".
_NO_HOST = "none.invalid"
_ALL_ADDRESSES = (ip_network("0.0.0.0/0"), ip_network("::/0"))
_MOST_COMMON_NAME = 64


@dataclass(frozen=True, slots=True)
class Authority:
    """A certificate authority.

    Attributes:
        certificate: PEM text that other machines are to trust.
        key: PEM text (PKCS #8) of its private key.
    """

    certificate: str
    key: str = field(repr=False)


def build_authority(names: Names, key: EllipticCurvePrivateKey, serial: int, now: datetime) -> Authority:
    """Make an authority that can vouch for these names.

    Args:
        key: a fresh key; a key is of one authority only.
        serial: a random number of at most 20 bytes.
        now: time with its zone.
    """
    title = f"AI stack CA of {names.first}"[:_MOST_COMMON_NAME]
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, title)])
    usage = x509.KeyUsage(
        digital_signature=False,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=True,
        crl_sign=True,
        encipher_only=False,
        decipher_only=False,
    )
    certificate = (
        x509.CertificateBuilder(subject, subject, key.public_key(), serial)
        .not_valid_before(now - BACKDATED)
        .not_valid_after(now + LIFETIME)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(usage, critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .add_extension(_build_constraints(names), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .sign(key, hashes.SHA256())
    )
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    return Authority(certificate.public_bytes(serialization.Encoding.PEM).decode(), private.decode())


def list_outside(certificate: x509.Certificate, names: Names) -> list[str]:
    """Those names that an authority's certificate cannot vouch for, because it is constrained to others."""
    try:
        constraints = certificate.extensions.get_extension_for_class(x509.NameConstraints).value
    except x509.ExtensionNotFound:
        return []
    permitted = constraints.permitted_subtrees or []
    hosts = [str(item.value) for item in permitted if isinstance(item, x509.DNSName)]
    networks = [item.value for item in permitted if isinstance(item, x509.IPAddress)]
    return [
        *(name for name in names.hosts if not any(name == host or name.endswith(f".{host}") for host in hosts)),
        *(str(item) for item in names.addresses if not any(_holds(network, item) for network in networks)),
    ]


def _holds(network: object, address: object) -> bool:
    return isinstance(network, IPv4Network | IPv6Network) and address in network


def _build_constraints(names: Names) -> x509.NameConstraints:
    hosts = [x509.DNSName(name) for name in names.hosts or (_NO_HOST,)]
    addresses = [x509.IPAddress(ip_network(str(item))) for item in names.addresses]
    excluded = None if addresses else [x509.IPAddress(network) for network in _ALL_ADDRESSES]
    return x509.NameConstraints([*hosts, *addresses], excluded)
