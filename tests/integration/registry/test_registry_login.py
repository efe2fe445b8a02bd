"""Docker's logins open a registry, and nobody else sees them."""

from __future__ import annotations

from pathlib import Path

import pytest

from stackctl.adapters.registry.registry import Registry
from stackctl.adapters.registry.registry_auth import find_login
from stackctl.adapters.registry.registry_connection import CHUNK_BYTES
from stackctl.errors import ImageUnavailable
from tests.integration.registry.served import AMD64, BASIC, LAYER, Serve, save_config, save_login


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
