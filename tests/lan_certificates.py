"""Certificates for tests of the local network: a site's own authority, a company's, and a handshake in memory."""

from __future__ import annotations

import ssl
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, load_pem_private_key
from cryptography.x509.oid import NameOID

from stackctl.core.lan.authority import Authority, build_authority
from stackctl.core.lan.names import parse_names
from stackctl.core.lan.pair import Pair

NOW = datetime.now(UTC).replace(microsecond=0)


def make_authority(*names: str, now: datetime = NOW) -> Authority:
    """An authority for these names."""
    key = ec.generate_private_key(ec.SECP256R1())
    return build_authority(parse_names(names), key, x509.random_serial_number(), now)


def make_company_pair(*names: str, start: datetime = NOW - timedelta(days=1), days: int = 365) -> Pair:
    """What a company gives out for these names: its certificate after the server's."""
    company, server = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())
    title = _title("A company")
    ca = (
        x509.CertificateBuilder(title, title, company.public_key(), x509.random_serial_number())
        .not_valid_before(start)
        .not_valid_after(start + timedelta(days=days + 1))
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(company.public_key()), critical=False)
        .sign(company, hashes.SHA256())
    )
    leaf = _sign(names, "A company", company, server, start, start + timedelta(days=days))
    return Pair(_write(leaf) + _write(ca), _write_key(server), is_company=True)


def sign_leaf(authority: Authority, *names: str) -> Pair:
    """A server's certificate for these names that an authority's key signed, whatever its constraints say."""
    issuer, key = load_pem_private_key(authority.key.encode(), None), ec.generate_private_key(ec.SECP256R1())
    assert isinstance(issuer, ec.EllipticCurvePrivateKey)
    title = x509.load_pem_x509_certificate(authority.certificate.encode()).subject.rfc4514_string().removeprefix("CN=")
    leaf = _sign(names, title, issuer, key, NOW - timedelta(days=1), NOW + timedelta(days=30))
    return Pair(_write(leaf), _write_key(key))


def shake_hands(folder: Path, served: Pair, trusted: str, name: str) -> str:
    """Why a client that trusts this certificate refuses a server by this name; empty where it does not."""
    (folder / "served.pem").write_text(served.key + served.chain)
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(folder / "served.pem")
    client = ssl.create_default_context(cadata=trusted)
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    near = client.wrap_bio(to_client, to_server, server_hostname=name)
    far = server.wrap_bio(to_server, to_client, server_side=True)
    for end in (near, far, near, far):
        try:
            end.do_handshake()
        except ssl.SSLWantReadError:
            continue
        except ssl.SSLCertVerificationError as error:
            return error.verify_message
    return "" if near.version() else "no handshake"


def _write_key(key: ec.EllipticCurvePrivateKey) -> str:
    """A private key as PEM."""
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()


def _sign(
    names: Sequence[str],
    issuer: str,
    signer: ec.EllipticCurvePrivateKey,
    key: ec.EllipticCurvePrivateKey,
    start: datetime,
    end: datetime,
) -> x509.Certificate:
    found = [_write_name(name) for name in names]
    return (
        x509.CertificateBuilder(_title(issuer), x509.Name([]), key.public_key(), x509.random_serial_number())
        .not_valid_before(start)
        .not_valid_after(end)
        .add_extension(x509.SubjectAlternativeName(found), critical=True)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(signer.public_key()), critical=False)
        .sign(signer, hashes.SHA256())
    )


def _write_name(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ip_address(name))
    except ValueError:
        return x509.DNSName(name)


def _title(text: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])


def _write(certificate: x509.Certificate) -> str:
    return certificate.public_bytes(Encoding.PEM).decode()
