"""A site's own certificate authority: what it can vouch for, and what clients refuse of it."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest
from cryptography import x509

from stackctl.core.lan.authority import list_outside
from stackctl.core.lan.names import parse_names
from tests.lan_certificates import NOW, make_authority, shake_hands, sign_leaf


def load(pem: str) -> x509.Certificate:
    return x509.load_pem_x509_certificate(pem.encode())


@pytest.mark.parametrize("name", ["gpu.example", "10.77.0.1", "fd00::1"])
def test_vouches_for_the_sites_names(tmp_path: Path, name: str) -> None:
    authority = make_authority("gpu.example", "10.77.0.1", "fd00::1")
    assert shake_hands(tmp_path, sign_leaf(authority, name), authority.certificate, name) == ""


@pytest.mark.parametrize(
    ("site", "other"),
    [
        (("gpu.example",), "bank.example"),
        (("gpu.example",), "10.77.0.1"),
        (("gpu.example", "10.77.0.1"), "10.77.0.2"),
        (("gpu.example", "10.77.0.1"), "fd00::1"),
        (("10.77.0.1",), "bank.example"),
    ],
)
def test_its_key_cannot_vouch_for_anything_else(tmp_path: Path, site: tuple[str, ...], other: str) -> None:
    """Whoever steals the key signs a certificate for another server: clients that trust the authority refuse it."""
    authority = make_authority(*site)
    said = shake_hands(tmp_path, sign_leaf(authority, other), authority.certificate, other)
    assert said in ("permitted subtree violation", "excluded subtree violation")


def test_a_client_refuses_a_wrong_name_and_an_authority_that_it_does_not_know(tmp_path: Path) -> None:
    authority = make_authority("gpu.example", "10.77.0.1")
    leaf = sign_leaf(authority, "gpu.example")
    assert "Hostname mismatch" in shake_hands(tmp_path, leaf, authority.certificate, "other.example")
    stranger = make_authority("gpu.example")
    assert shake_hands(tmp_path, leaf, stranger.certificate, "gpu.example") != ""


def test_signs_no_further_authority_and_servers_only() -> None:
    extensions = load(make_authority("gpu.example").certificate).extensions
    basic = extensions.get_extension_for_class(x509.BasicConstraints)
    assert (basic.critical, basic.value.ca, basic.value.path_length) == (True, True, 0)
    assert extensions.get_extension_for_class(x509.NameConstraints).critical
    usages = extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    assert list(usages) == [x509.oid.ExtendedKeyUsageOID.SERVER_AUTH]


def test_is_valid_for_clocks_that_are_behind_and_for_ten_years() -> None:
    certificate = load(make_authority("gpu.example").certificate)
    assert certificate.not_valid_before_utc == NOW - timedelta(days=2)
    assert certificate.not_valid_after_utc == NOW + timedelta(days=3650)


def test_the_key_does_not_stand_in_a_representation() -> None:
    authority = make_authority("gpu.example")
    assert authority.key.splitlines()[1] not in repr(authority)


def test_says_which_names_are_outside_of_it() -> None:
    certificate = load(make_authority("gpu.example", "10.77.0.1").certificate)
    assert list_outside(certificate, parse_names(["gpu.example", "a.gpu.example", "10.77.0.1"])) == []
    names = parse_names(["other.example", "xgpu.example", "10.77.0.2", "fd00::1"])
    assert list_outside(certificate, names) == ["other.example", "xgpu.example", "10.77.0.2", "fd00::1"]


@pytest.mark.parametrize(
    "text", ["", "gpu example", "-gpu", "gpu..example", "10.77.0", "999.1.1.1", "0.0.0.0", "fe80::1%eth0", "*.example"]
)
def test_what_is_no_name_is_refused_by_itself(text: str) -> None:
    with pytest.raises(ValueError, match=r"neither a host name nor an address|no address that a machine is reached at"):
        parse_names([text])


def test_names_are_told_apart_and_each_stands_once() -> None:
    names = parse_names(["FD00:0::1", "GPU.Example.", "gpu.example", "10.77.0.1"])
    assert (names.hosts, [str(item) for item in names.addresses]) == (("gpu.example",), ["fd00::1", "10.77.0.1"])
    assert (names.first, names.url_host) == ("fd00::1", "[fd00::1]")
