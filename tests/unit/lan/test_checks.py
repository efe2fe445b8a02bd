"""What speaks against a certificate before anything starts with it."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
)

from stackctl.core.lan.authority import Authority
from stackctl.core.lan.checks import check_pair
from stackctl.core.lan.names import parse_names
from stackctl.core.lan.pair import Pair
from tests.lan_certificates import NOW, make_authority, make_company_pair

NAMES = parse_names(["gpu.example", "10.77.0.1"])


def list_said(pair: Pair, names: str = "gpu.example,10.77.0.1", days: float = 0) -> list[tuple[str, str, str]]:
    found = check_pair(pair, parse_names(names.split(",")), NOW + timedelta(days=days))
    assert all(item.hint for item in found)
    return [(item.severity.value, item.subject, item.message) for item in found]


def own(authority: Authority) -> Pair:
    return Pair(authority.certificate, authority.key)


def test_says_nothing_of_what_can_be_used() -> None:
    assert list_said(own(make_authority(*NAMES))) == []
    assert list_said(make_company_pair(*NAMES)) == []
    assert list_said(make_company_pair("*.example", "10.77.0.1")) == []


def test_a_key_of_another_certificate() -> None:
    pair = replace(make_company_pair(*NAMES), key=make_company_pair(*NAMES).key)
    assert list_said(pair) == [("error", "LAN_CERTIFICATE_KEY", "is the key of another certificate")]


def test_certificates_in_the_wrong_order() -> None:
    pair = make_company_pair(*NAMES)
    mark = "-----END CERTIFICATE-----\n"
    first, second, _ = pair.chain.split(mark)
    said = list_said(replace(pair, chain=second + mark + first + mark))
    assert said[0][1:] == (
        "LAN_CERTIFICATE_KEY",
        "is the key of certificate 2 in the file; the server's own has to be the first",
    )


@pytest.mark.parametrize(
    ("change", "subject", "message"),
    [
        ({"chain": "nothing"}, "LAN_CERTIFICATE", "holds no certificate in PEM form"),
        ({"key": "nothing"}, "LAN_CERTIFICATE_KEY", "holds no private key in PEM form"),
        (
            {
                "key": ec.generate_private_key(ec.SECP256R1())
                .private_bytes(Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(b"secret"))
                .decode()
            },
            "LAN_CERTIFICATE_KEY",
            "holds a key that a password protects, which nobody could enter",
        ),
    ],
)
def test_files_that_hold_something_else(change: dict[str, str], subject: str, message: str) -> None:
    assert list_said(replace(make_company_pair(*NAMES), **change)) == [("error", subject, message)]  # type: ignore[arg-type]


def test_names_that_it_is_not_for() -> None:
    said = list_said(make_company_pair("gpu.example"), "gpu.example,other.example,10.77.0.1")
    assert said == [("error", "LAN_CERTIFICATE", "is not for other.example, 10.77.0.1")]
    assert list_said(make_company_pair("*.example"), "a.gpu.example")[0][2] == "is not for a.gpu.example"
    said = list_said(own(make_authority(*NAMES)), "gpu.example,10.77.0.9")
    assert said == [("error", "lan", "the authority cannot vouch for 10.77.0.9: it was made for other names")]


def test_the_companys_expires() -> None:
    pair = make_company_pair(*NAMES, start=NOW, days=90)
    end = f"{NOW + timedelta(days=90):%Y-%m-%d}"
    assert list_said(pair, days=59) == []
    assert list_said(pair, days=60) == [("warning", "LAN_CERTIFICATE", f"expires on {end}")]
    assert list_said(pair, days=90) == [("error", "LAN_CERTIFICATE", f"expired on {end}; clients refuse it")]


def test_the_authority_expires() -> None:
    pair = own(make_authority(*NAMES))
    end = f"{NOW + timedelta(days=3650):%Y-%m-%d}"
    assert list_said(pair, days=3469) == []
    assert list_said(pair, days=3470) == [("warning", "lan", f"expires on {end}")]
    assert list_said(pair, days=3650)[0][2] == f"expired on {end}; clients refuse it"


def test_a_clock_that_is_behind() -> None:
    pair = own(make_authority(*NAMES))
    severity, subject, message = list_said(pair, days=-1)[0]
    assert (severity, subject) == ("warning", "lan")
    assert message == (
        f"was made on {NOW:%Y-%m-%d %H:%M} UTC; this machine's clock says {NOW - timedelta(days=1):%Y-%m-%d %H:%M} UTC"
    )
    assert list_said(pair, days=-3)[0][0] == "error"
    assert list_said(make_company_pair(*NAMES, start=NOW), days=-1)[0][0] == "error"


def test_a_key_of_another_kind_is_compared_too() -> None:
    key = rsa.generate_private_key(65537, 2048)
    text = key.private_bytes(Encoding.PEM, PrivateFormat.TraditionalOpenSSL, NoEncryption()).decode()
    assert list_said(replace(make_company_pair(*NAMES), key=text))[0][2] == "is the key of another certificate"
