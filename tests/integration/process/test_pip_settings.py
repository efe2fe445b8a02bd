"""What pip is told on a machine reaches uv in uv's words."""

from __future__ import annotations

import os

import pytest

from stackctl.adapters.process.pip_settings import find_installer_settings


@pytest.fixture(autouse=True)
def _alone(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.startswith("PIP_") or name.lower().endswith("_proxy")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)


def test_each_setting_of_pip_has_its_words(monkeypatch: pytest.MonkeyPatch) -> None:
    told = {
        "INDEX_URL": ("https://mirror/simple", "UV_DEFAULT_INDEX", "https://mirror/simple"),
        "CERT": ("/etc/company.pem", "SSL_CERT_FILE", "/etc/company.pem"),
        "FIND_LINKS": ("/a /b", "UV_FIND_LINKS", "/a,/b"),
        "TRUSTED_HOST": ("one two:8443", "UV_INSECURE_HOST", "one two:8443"),
        "PROXY": ("http://proxy:8080", "ALL_PROXY", "http://proxy:8080"),
        "NO_INDEX": ("1", "UV_NO_INDEX", "true"),
    }
    for name, (value, _, _) in told.items():
        monkeypatch.setenv(f"PIP_{name}", value)
    found = find_installer_settings("")
    assert {name: found.get(name) for _, name, _ in told.values()} == {name: text for _, name, text in told.values()}


def test_a_proxy_of_the_environment_goes_before_pip_s(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PIP_PROXY", "http://proxy:8080")
    monkeypatch.setenv("https_proxy", "http://other:8080")
    assert "ALL_PROXY" not in find_installer_settings("")
