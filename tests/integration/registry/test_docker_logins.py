"""Where Docker keeps its logins."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from stackctl.adapters.registry.registry_auth import Login, find_login, parse_challenge
from stackctl.errors import ImageUnavailable
from tests.integration.registry.served import save_config, save_helper, save_login


@pytest.mark.parametrize(
    ("key", "host"),
    [
        ("ghcr.io", "ghcr.io"),
        ("https://ghcr.io/v2/", "ghcr.io"),
        ("https://index.docker.io/v1/", "docker.io"),
        ("127.0.0.1:5000", "127.0.0.1:5000"),
    ],
)
def test_logins_are_found_under_every_spelling_that_docker_uses(tmp_path: Path, key: str, host: str) -> None:
    save_login(tmp_path, key)
    assert find_login(host, {"DOCKER_CONFIG": str(tmp_path)}) == Login("ann", "a secret")
    assert find_login("other.example", {"DOCKER_CONFIG": str(tmp_path)}) == Login()


def test_without_docker_config_the_home_folder_counts(tmp_path: Path) -> None:
    (tmp_path / ".docker").mkdir()
    save_login(tmp_path / ".docker", "ghcr.io")
    assert find_login("ghcr.io", {"HOME": str(tmp_path)}).user == "ann"
    assert find_login("ghcr.io", {"HOME": str(tmp_path / "nobody")}) == Login()


def test_a_user_without_a_home_has_no_logins(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("HOME", raising=False)
    monkeypatch.setattr("pwd.getpwuid", {}.__getitem__)
    assert find_login("ghcr.io", {}) == Login()


def test_an_identity_token_takes_the_place_of_a_password(tmp_path: Path) -> None:
    save_config(tmp_path, auths={"ghcr.io": {"auth": "", "identitytoken": "r3fresh"}})
    assert find_login("ghcr.io", {"DOCKER_CONFIG": str(tmp_path)}) == Login(refresh_token="r3fresh")


ANSWER = 'read server; printf \'{"Username": "bob", "Secret": "%s"}\' "$server"'


@pytest.mark.parametrize(
    ("config", "host", "server"),
    [
        ({"credsStore": "fake"}, "docker.io", "https://index.docker.io/v1/"),
        ({"credsStore": "fake"}, "ghcr.io", "ghcr.io"),
        ({"credsStore": "absent", "credHelpers": {"ghcr.io": "fake"}}, "ghcr.io", "ghcr.io"),
    ],
)
def test_credential_programs_are_asked(tmp_path: Path, config: dict[str, Any], host: str, server: str) -> None:
    save_config(tmp_path, **config)
    save_helper(tmp_path, "fake", ANSWER)
    assert find_login(host, {"DOCKER_CONFIG": str(tmp_path), "PATH": str(tmp_path)}) == Login("bob", server)


def test_a_program_that_knows_nobody_leaves_the_file_to_be_asked(tmp_path: Path) -> None:
    login = {"ghcr.io": {"username": "ann", "password": "a secret"}}
    save_config(tmp_path, credsStore="fake", auths=login)
    save_helper(tmp_path, "fake", "echo credentials not found in native keychain; exit 1")
    assert find_login("ghcr.io", {"DOCKER_CONFIG": str(tmp_path), "PATH": str(tmp_path)}).user == "ann"


@pytest.mark.parametrize(
    ("config", "script", "seen"),
    [
        ({"credsStore": "absent"}, "", "docker-credential-absent could not be asked"),
        ({"credsStore": "../../bin/sh"}, "", "not a program's name"),
        ({"credsStore": "fake"}, "echo a secret >&2; exit 3", r"gave no login for ghcr.io \(code 3\)"),
        ({"auths": {"ghcr.io": {"auth": "!"}}}, "", "login for ghcr.io cannot be read"),
    ],
)
def test_broken_logins_are_named_and_not_shown(tmp_path: Path, config: dict[str, Any], script: str, seen: str) -> None:
    save_config(tmp_path, **config)
    save_helper(tmp_path, "fake", script)
    with pytest.raises(ImageUnavailable, match=seen) as caught:
        find_login("ghcr.io", {"DOCKER_CONFIG": str(tmp_path), "PATH": str(tmp_path)})
    assert "a secret" not in repr(caught.value)


def test_a_broken_configuration_is_named(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text("{", encoding="utf-8")
    with pytest.raises(ImageUnavailable, match=r"config\.json cannot be read: it is not JSON"):
        find_login("ghcr.io", {"DOCKER_CONFIG": str(tmp_path)})


def test_challenges_are_read_as_registries_write_them() -> None:
    both = 'Negotiate, Bearer realm="https://auth.example/token",service="a, b",scope="x:y:pull", Basic realm="z"'
    challenge = parse_challenge(both)
    assert (challenge.scheme, challenge.parameters) == (
        "bearer",
        {"realm": "https://auth.example/token", "service": "a, b", "scope": "x:y:pull"},
    )
    assert parse_challenge('BASIC Realm="x"').parameters == {"realm": "x"}
    assert parse_challenge("").scheme == ""
