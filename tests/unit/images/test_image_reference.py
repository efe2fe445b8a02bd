"""Image names, read as Docker reads them."""

from __future__ import annotations

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stackctl.core.images.reference import parse_reference
from stackctl.errors import BundleError

HEX = "0123456789abcdef" * 4


@pytest.mark.parametrize(
    ("text", "spelled"),
    [
        ("debian", "docker.io/library/debian:latest"),
        ("debian:12", "docker.io/library/debian:12"),
        ("berriai/litellm:v1.0", "docker.io/berriai/litellm:v1.0"),
        ("docker.io/debian", "docker.io/library/debian:latest"),
        ("index.docker.io/debian", "docker.io/library/debian:latest"),
        ("ghcr.io/ggml-org/llama.cpp:server", "ghcr.io/ggml-org/llama.cpp:server"),
        ("localhost/x", "localhost/x:latest"),
        ("127.0.0.1:5000/a/b", "127.0.0.1:5000/a/b:latest"),
        ("[::1]:5000/a", "[::1]:5000/a:latest"),
        ("Registry/a", "Registry/a:latest"),
        (f"debian@sha256:{HEX}", f"docker.io/library/debian@sha256:{HEX}"),
        (f"host.example/a:1@sha256:{HEX}", f"host.example/a:1@sha256:{HEX}"),
        ("a__b/c-d.e", "docker.io/a__b/c-d.e:latest"),
    ],
)
def test_names_mean_what_docker_means(text: str, spelled: str) -> None:
    assert str(parse_reference(text)) == spelled
    assert parse_reference(spelled) == parse_reference(text)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "UPPER",
        "a b",
        "a:",
        "a:tag with space",
        "a//b",
        "/a",
        "a/",
        "host.example/",
        "a@",
        "a@sha256:abc",
        f"a@sha512:{HEX}{HEX}",
        f"a@sha256:{HEX.upper()}",
        f"a@sha256:{HEX}\n",
        "a:1\n",
        "ho_st.example/a",
        "host:port/a",
        "../a",
        "a" * 600,
        "é",
    ],
)
def test_what_is_no_name_is_refused(text: str) -> None:
    with pytest.raises(BundleError, match="is not an image name") as caught:
        parse_reference(text)
    assert caught.value.hint


@given(st.text(max_size=60))
def test_any_text_is_a_name_or_refused(text: str) -> None:
    with suppress(BundleError):
        reference = parse_reference(text)
        assert parse_reference(str(reference)) == reference
