"""The digests of a site's images: the lock's text, and the names that Compose is given."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stackctl.core.engine.engines import LLAMA_CPP, LLAMA_CPP_PYTHON, OFFICIAL_IMAGES
from stackctl.core.images.pins import (
    check_pins,
    compare_pins,
    list_tagged,
    parse_pins,
    pin_image,
    pin_images,
    render_pins,
)
from stackctl.core.settings.settings import Settings
from stackctl.core.stack.image_choice import OWN_IMAGES, choose_images
from stackctl.errors import ConfigError
from tests.fakes import raised_by

ONE, TWO = (f"sha256:{digit * 64}" for digit in "12")
digests = st.text("0123456789abcdef", min_size=64, max_size=64).map("sha256:{}".format)
names = st.from_regex(r"r[0-9]\.example(:50[0-9]{2})?/[a-z]{1,9}/[a-z]{1,9}:[A-Za-z0-9]{1,9}", fullmatch=True)


@given(st.dictionaries(names, digests))
def test_what_is_written_is_read_again(pins: dict[str, str]) -> None:
    assert parse_pins(render_pins(pins), "images.lock") == pins


def test_every_wrong_line_is_named_at_its_place() -> None:
    good, twice, bare = f"r.example/a:1@{ONE}", f"r.example/a:1@{TWO}", f"r.example/c@{ONE}"
    text = "\n".join(("# mine", good, "", twice, "r.example/b:1", bare, f"a b@{ONE}", "d:1@sha256:1"))
    error = raised_by(lambda: parse_pins(text, "/site/images.lock"))
    assert isinstance(error, ConfigError)
    assert [finding.line for finding in error.findings] == [4, 5, 6, 7, 8]
    assert "r.example/a:1 stands here twice" in str(error)
    assert "'r.example/b:1' was seen, name:tag@sha256:... was expected" in str(error)


def test_a_name_is_pinned_however_it_is_spelled_and_keeps_its_tag() -> None:
    pins = {"docker.io/library/debian:12": ONE}
    for name in ("debian:12", "docker.io/debian:12", "index.docker.io/library/debian:12"):
        assert pin_image(name, pins) == f"docker.io/library/debian:12@{ONE}"
    for name in ("debian:13", f"debian:12@{TWO}", "No Image"):
        assert pin_image(name, pins) == name


def test_the_images_of_every_gpu_are_pinned_and_what_is_built_here_is_not() -> None:
    images = choose_images(Settings(), LLAMA_CPP, "a", "b")
    assert set(list_tagged(images)) == set(OFFICIAL_IMAGES.values())
    pinned = pin_images(images, dict.fromkeys(list_tagged(images), ONE))
    assert pinned.inference == {gpu: f"{name}@{ONE}" for gpu, name in OFFICIAL_IMAGES.items()}
    assert pinned.gateway == images.gateway
    built = choose_images(Settings(), LLAMA_CPP_PYTHON, "a", "b")
    assert list_tagged(built) == ()
    assert pin_images(built, {built.gateway: ONE, built.inference["none"]: ONE}) == built


def test_registries_are_asked_neither_for_digests_nor_for_what_none_can_have() -> None:
    settings = Settings(inference_image=f"r.example/a@{ONE}", gateway_image=f"{OWN_IMAGES}/api-gateway:1")
    assert list_tagged(choose_images(settings, LLAMA_CPP, "a", "b")) == ()
    wrong = choose_images(Settings(inference_image="No Image"), LLAMA_CPP, "a", "b")
    with pytest.raises(ConfigError, match="INFERENCE_IMAGE: 'No Image' is not an image name"):
        list_tagged(wrong)
    assert check_pins(wrong, {"r.example/a:1": ONE}) == ()


def test_an_image_that_is_not_among_the_pinned_ones_is_warned_of() -> None:
    images = choose_images(Settings(inference_image="r.example/a:2"), LLAMA_CPP, "a", "b")
    assert check_pins(images, {}) == check_pins(images, {"r.example/a:2": ONE}) == ()
    (finding,) = check_pins(images, {"r.example/a:1": ONE})
    assert finding.render_text() == "images.lock: does not pin r.example/a:2, which is named now"
    assert finding.hint == "run 'stackctl images pin'"


def test_changes_are_told_by_name() -> None:
    changes = compare_pins({"a:1": ONE, "b:1": ONE, "c:1": ONE}, {"a:1": ONE, "b:1": TWO, "d:1": TWO})
    assert [(item.image, item.status, item.before, item.digest) for item in changes] == [
        ("a:1", "unchanged", ONE, ONE),
        ("b:1", "moved", ONE, TWO),
        ("c:1", "removed", ONE, ""),
        ("d:1", "pinned", "", TWO),
    ]
