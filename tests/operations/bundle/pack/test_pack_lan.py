"""A stack that other machines reach, in a bundle: Caddy's image, and nothing of this site's names and authority."""

from __future__ import annotations

from stackctl.core.bundle.format.installed_paths import SETTINGS_FILE
from tests.fakes import SITE
from tests.lan_certificates import make_authority
from tests.operations.bundle.pack.packer import Packer, set_env


def test_its_image_travels_and_its_names_and_authority_stay(packer: Packer) -> None:
    set_env(packer, STACK_APPS="lan", LAN_NAMES="gpu.example", LAN_PORT="8444")
    authority = make_authority("gpu.example")
    packer.world.files |= {
        SITE / ".stack/lan/ca.pem": authority.certificate,
        SITE / ".stack/lan/ca-key.pem": authority.key,
    }
    manifest = packer.pack().manifest
    assert "app.caddy" in {use for image in manifest.images for use in image.uses}
    assert "STACK_APPS=lan" in packer.texts[SETTINGS_FILE]
    marks = ("gpu.example", "8444", authority.certificate.splitlines()[1], authority.key.splitlines()[1])
    assert not [(name, mark) for name, text in packer.texts.items() for mark in marks if mark in text]
