"""A certificate that nobody trusts, for a stand-in provider that is to be refused. Does I/O: a temporary file."""

from __future__ import annotations

import ssl
import tempfile
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

_NAME = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "stand-in.invalid")])


def make_untrusted_context(file: Path | None = None, address: str = "") -> ssl.SSLContext:
    """A server's TLS context with a fresh certificate that it signed itself, for a name that is not its own.

    Args:
        file: path to which the certificate is written, so that a client can be told to trust it.
        address: IP address that the certificate is for, too.
    """
    key = ec.generate_private_key(ec.SECP256R1())
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(_NAME)
        .issuer_name(_NAME)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName(_list_names(address)), critical=False)
        .sign(key, hashes.SHA256())
    )
    if file:
        file.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    with tempfile.TemporaryDirectory(prefix="stand-in-") as folder:
        path = Path(folder) / "stand-in.pem"
        path.touch(mode=0o600)
        path.write_bytes(private + certificate.public_bytes(serialization.Encoding.PEM))
        context.load_cert_chain(path)
    return context


def _list_names(address: str) -> list[x509.GeneralName]:
    own: list[x509.GeneralName] = [x509.DNSName("stand-in.invalid")]
    return [*own, x509.IPAddress(ip_address(address))] if address else own
