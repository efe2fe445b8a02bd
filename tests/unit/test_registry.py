"""Images from a registry: its own bytes, over cut connections, with Docker's logins and without showing them."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from stackctl.adapters.registry import Registry
from stackctl.adapters.registry_auth import Login, find_login, parse_challenge
from stackctl.adapters.registry_connection import ATTEMPTS, CHUNK_BYTES
from stackctl.core.bundle.oci import OCI_LAYER, ImageBlob, Platform
from stackctl.errors import BundleError, ImageUnavailable
from tests.fake_registry import FakeRegistry, open_fake_registry
from tests.image_documents import digest

AMD64 = Platform("linux", "amd64")
LAYER = b"".join(number.to_bytes(4, "big") for number in range(800_000))
BLOB = ImageBlob(digest(LAYER), len(LAYER), OCI_LAYER)
BASIC = "Basic " + base64.b64encode(b"ann:a secret").decode()

Serve = Callable[..., FakeRegistry]


@pytest.fixture
def serve() -> Iterator[Serve]:
    """Starts a registry with these faults."""
    with ExitStack() as stack:
        yield lambda **faults: stack.enter_context(open_fake_registry(FakeRegistry(LAYER, **faults)))


@pytest.fixture
def pauses() -> list[float]:
    """How long the client meant to wait."""
    return []


@pytest.fixture
def registry(tmp_path: Path, pauses: list[float]) -> Iterator[Registry]:
    """The client, with the logins of a Docker configuration in ``tmp_path``."""
    found = Registry({"DOCKER_CONFIG": str(tmp_path), "PATH": str(tmp_path)}, pauses.append)
    yield found
    found.close()


def save_config(folder: Path, **config: Any) -> None:
    (folder / "config.json").write_text(json.dumps(config), encoding="utf-8")


def save_login(folder: Path, host: str) -> None:
    save_config(folder, auths={host: {"auth": BASIC.removeprefix("Basic ")}})


def save_helper(folder: Path, name: str, script: str) -> None:
    program = folder / f"docker-credential-{name}"
    program.write_text(f"#!/bin/sh\n{script}\n", encoding="utf-8")
    program.chmod(0o755)


# What it gives


def test_documents_are_the_registrys_own_bytes(serve: Serve, registry: Registry) -> None:
    served = serve()
    content = registry.resolve(served.reference, AMD64)
    facts = content.facts
    assert (facts.reference, facts.source) == (f"{served.reference}:latest", "registry")
    assert facts.index is not None
    assert [content.documents[blob.digest] for blob in (facts.index, facts.manifest, facts.config)] == [
        served.index,
        served.manifest,
        served.config,
    ]
    assert b"".join(registry.open_blob(facts.reference, facts.layers[0])) == LAYER


def test_a_digest_is_held_to(serve: Serve, registry: Registry) -> None:
    served = serve()
    pinned = f"{served.reference}@{digest(served.manifest)}"
    assert registry.resolve(pinned, AMD64).facts.index is None
    served.documents[digest(served.manifest)] = (served.index, "application/json")
    with pytest.raises(BundleError, match=f"has the digest {digest(served.index)}, expected {digest(served.manifest)}"):
        registry.resolve(pinned, AMD64)


def test_another_platform_is_refused_by_name(serve: Serve, registry: Registry) -> None:
    served = serve()
    with pytest.raises(BundleError, match=r"no image for linux/arm64; its platforms: linux/amd64"):
        registry.resolve(served.reference, Platform("linux", "arm64"))
    with pytest.raises(BundleError, match="is for linux/amd64, expected linux/arm64"):
        registry.resolve(f"{served.reference}@{digest(served.manifest)}", Platform("linux", "arm64"))


def test_an_absent_image_is_said_to_be_absent(serve: Serve, registry: Registry) -> None:
    served = serve()
    with pytest.raises(ImageUnavailable, match=f"does not have it: {served.reference}:none"):
        registry.resolve(f"{served.reference}:none", AMD64)


def test_an_endless_manifest_is_not_read_to_its_end(serve: Serve, registry: Registry) -> None:
    served = serve()
    served.documents["latest"] = (bytes(5 << 20), "application/json")
    with pytest.raises(BundleError, match="more than 4194304 bytes"):
        registry.resolve(served.reference, AMD64)


# Blobs


@pytest.mark.parametrize("offset", [0, 1, CHUNK_BYTES, len(LAYER) - 1, len(LAYER)])
@pytest.mark.parametrize("has_ranges", [True, False])
def test_a_blob_is_read_from_anywhere(serve: Serve, registry: Registry, offset: int, has_ranges: bool) -> None:
    served = serve(has_ranges=has_ranges)
    hashed = hashlib.sha256(LAYER[:offset])
    assert b"".join(registry.open_blob(served.reference, BLOB, offset, hashed)) == LAYER[offset:]
    assert hashed.hexdigest() == BLOB.digest.removeprefix("sha256:")


@pytest.mark.parametrize("has_ranges", [True, False])
def test_a_cut_connection_is_continued_where_it_broke(
    serve: Serve, registry: Registry, pauses: list[float], has_ranges: bool
) -> None:
    served = serve(has_ranges=has_ranges, cut_after=CHUNK_BYTES + 1000, cuts=2)
    chunks = list(registry.open_blob(served.reference, BLOB))
    assert b"".join(chunks) == LAYER
    asked = [headers.get("range") for path, headers in served.asked if "/blobs/" in path]
    assert asked[0] is None
    assert all(asked[1:])
    assert len(pauses) == 2


def test_a_connection_that_brings_nothing_is_given_up(serve: Serve, registry: Registry, pauses: list[float]) -> None:
    served = serve(has_ranges=False, cut_after=1000, cuts=1000)
    with pytest.raises(ImageUnavailable, match=f"did not give .* in {ATTEMPTS} attempts") as caught:
        list(registry.open_blob(served.reference, BLOB))
    assert "continues where it stopped" in caught.value.hint
    assert pauses == [1.0, 2.0, 4.0, 8.0, 16.0]


@pytest.mark.parametrize("status", [429, 503])
def test_a_busy_registry_is_waited_for(serve: Serve, registry: Registry, pauses: list[float], status: int) -> None:
    served = serve(busy=2, busy_status=status)
    assert registry.resolve(served.reference, AMD64)
    assert pauses == [7.0, 7.0]


def test_a_registry_that_is_not_there_is_named(registry: Registry) -> None:
    with pytest.raises(ImageUnavailable, match=r"127\.0\.0\.1:1 did not give 127\.0\.0\.1:1/a:latest"):
        registry.resolve("127.0.0.1:1/a", AMD64)


@pytest.mark.parametrize(
    ("data", "seen"),
    [
        (LAYER[:-1], f"it has {len(LAYER) - 1} bytes, expected {len(LAYER)}"),
        (LAYER + b"x", f"more than {len(LAYER)} bytes"),
        (b"x" + LAYER[1:], "its bytes have the digest sha256:"),
    ],
)
def test_other_bytes_are_refused_naming_image_and_blob(
    serve: Serve, registry: Registry, data: bytes, seen: str
) -> None:
    served = serve()
    served.blobs[BLOB.digest] = data
    with pytest.raises(BundleError, match=seen) as caught:
        list(registry.open_blob(served.reference, BLOB))
    assert f"Blob {BLOB.digest} of {served.reference}:latest" in caught.value.message


# Logins


def test_anybody_gets_a_token_once(serve: Serve, registry: Registry) -> None:
    served = serve(token="t0ken")
    facts = registry.resolve(served.reference, AMD64).facts
    assert b"".join(registry.open_blob(facts.reference, facts.layers[0])) == LAYER
    assert served.count_asked("/token") == 1


def test_a_token_that_has_expired_is_asked_for_again(serve: Serve, registry: Registry) -> None:
    served = serve(token="first")
    facts = registry.resolve(served.reference, AMD64).facts
    served.token = "second"
    assert b"".join(registry.open_blob(facts.reference, facts.layers[0])) == LAYER


def test_a_stored_login_opens_a_private_repository(serve: Serve, registry: Registry, tmp_path: Path) -> None:
    served = serve(token="t0ken", token_login=BASIC)
    with pytest.raises(ImageUnavailable, match="token service of the registry answered 401"):
        registry.resolve(served.reference, AMD64)
    save_login(tmp_path, served.host)
    assert registry.resolve(served.reference, AMD64)
    # The login is for the token service alone; the registry gets the token.
    assert {headers.get("authorization") for path, headers in served.asked if "/v2/" in path} == {None, "Bearer t0ken"}


def test_an_identity_token_is_exchanged(serve: Serve, registry: Registry, tmp_path: Path) -> None:
    served = serve(token="t0ken", token_login="nobody", refresh_token="r3fresh")
    save_config(tmp_path, auths={served.host: {"identitytoken": "r3fresh"}})
    assert registry.resolve(served.reference, AMD64)


def test_basic_login(serve: Serve, registry: Registry, tmp_path: Path) -> None:
    served = serve(basic=BASIC)
    with pytest.raises(ImageUnavailable, match="Docker has none for it") as caught:
        registry.resolve(served.reference, AMD64)
    assert caught.value.hint == f"run 'docker login {served.host}'"
    save_login(tmp_path, served.host)
    assert registry.resolve(served.reference, AMD64)


def test_a_login_is_not_shown_to_the_host_of_a_redirect(serve: Serve, registry: Registry, tmp_path: Path) -> None:
    storage = serve()
    served = serve(basic=BASIC, blobs_at=f"http://{storage.host}", cut_after=0)
    storage.cut_after, storage.cuts = CHUNK_BYTES + 1000, 1
    save_login(tmp_path, served.host)
    facts = registry.resolve(served.reference, AMD64).facts
    assert b"".join(registry.open_blob(facts.reference, facts.layers[0])) == LAYER
    assert len(storage.asked) >= 3
    assert not [headers for _, headers in storage.asked if "authorization" in headers]


def test_a_redirect_to_the_network_without_encryption_is_not_followed(serve: Serve, registry: Registry) -> None:
    served = serve(blobs_at="http://storage.example")
    with pytest.raises(ImageUnavailable, match=r"leads to storage\.example without encryption"):
        registry.resolve(served.reference, AMD64)


def test_a_refused_login_is_in_no_message(serve: Serve, registry: Registry, tmp_path: Path) -> None:
    served = serve(basic="Basic other")
    save_login(tmp_path, served.host)
    with pytest.raises(ImageUnavailable, match="refuses the login") as caught:
        registry.resolve(served.reference, AMD64)
    shown = f"{caught.value!r} {caught.value.__cause__!r} {find_login(served.host, {'DOCKER_CONFIG': str(tmp_path)})!r}"
    assert "a secret" not in shown
    assert BASIC.removeprefix("Basic ") not in shown


# Where logins come from


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
