"""Commands that build images: base images and mirrors as arguments, a password in none of them."""

from __future__ import annotations

import re

import pytest

from stackctl.core.engine.engines import ENGINES, OFFICIAL_IMAGES
from stackctl.core.images.build import ImageBuild, list_builds, list_pulls
from stackctl.core.settings.settings import Settings
from stackctl.core.stack.image_choice import Images, choose_images

OFFICIAL, OWN = ENGINES["llama.cpp"], ENGINES["llama-cpp-python"]


def list_all(settings: Settings, engine: str = "llama.cpp", gpu: str = "none") -> tuple[Images, list[ImageBuild]]:
    images = choose_images(settings, ENGINES[engine], "aaa", "bbb")
    return images, list(list_builds(settings, ENGINES[engine], images, "/opt/stackctl", gpu))


def test_the_official_engine_is_pulled_and_the_gateway_is_built() -> None:
    images, (build,) = list_all(Settings())
    assert list_pulls(images, "nvidia") == (OFFICIAL_IMAGES["nvidia"],)
    assert re.fullmatch(r"stackctl\.invalid/api-gateway:[0-9a-f]{12}", build.tag)
    assert build.folder == "/opt/stackctl/services/api-gateway"


def test_equal_images_of_all_stacks_are_one_and_other_bases_make_another() -> None:
    def tag(settings: Settings) -> str:
        return list_all(settings)[0].gateway

    mirrored = Settings(stack_name="two", pip_index_url="https://mirror.example/simple")
    assert tag(Settings(stack_name="one")) == tag(mirrored)
    assert tag(Settings()) != tag(Settings(base_image="base:1"))
    engines = [list_all(Settings(build_base_image=base), OWN.name)[0].inference["none"] for base in ("a:1", "b:1")]
    assert engines[0] != engines[1]


@pytest.mark.parametrize(
    ("gpu", "cuda", "suffix"), [("none", "off", ""), ("nvidia", "on", "-cuda"), ("vulkan", "off", "")]
)
def test_our_own_engine_is_built_for_the_gpu(gpu: str, cuda: str, suffix: str) -> None:
    images, builds = list_all(Settings(), OWN.name, gpu)
    assert list_pulls(images, gpu) == ()
    assert re.fullmatch(rf"stackctl\.invalid/llama-cpp-python:[0-9a-f]{{12}}{suffix}", builds[1].tag)
    assert builds[1].arguments["CUDA"] == cuda
    assert builds[1].arguments["LAUNCHER"] == OWN.launcher


def test_the_prebuilt_engine_needs_no_image_with_a_compiler() -> None:
    _, builds = list_all(Settings(base_image="small:1", build_base_image="large:1"), "xllamacpp")
    arguments = builds[1].arguments
    assert (arguments["BUILD_BASE_IMAGE"], arguments["LOCK"]) == ("small:1", "requirements-xllamacpp.lock")


def test_given_images_replace_everything() -> None:
    images, builds = list_all(Settings(inference_image="i:1", gateway_image="g:2"), OWN.name)
    assert (list_pulls(images, "amd"), builds) == (("i:1", "g:2"), [])


def test_other_sources_make_another_tag() -> None:
    tags = {choose_images(Settings(), OFFICIAL, digest, "x").gateway for digest in ("aaa", "bbb")}
    assert len(tags) == 2


def test_a_site_builds_on_its_own_base_through_its_own_mirror_and_ca() -> None:
    mirror = "https://user:planted@mirror.example.com/simple"
    settings = Settings(base_image="base:1", pip_index_url=mirror, build_ca_bundle="/etc/ca bundle.pem")
    _, (build,) = list_all(settings)
    assert build.environment == {"BASE_IMAGE": "base:1", "PIP_INDEX_URL": mirror}
    assert build.build_argv() == (
        *("docker", "build", "--progress=plain", "--build-arg", "BASE_IMAGE", "--build-arg", "PIP_INDEX_URL"),
        *("--label", f"org.opencontainers.image.version={build.tag.rpartition(':')[2]}"),
        *("--label", "org.opencontainers.image.base.name=base:1"),
        *("--secret", "id=ca,src=/etc/ca bundle.pem", "--tag", build.tag),
        "/opt/stackctl/services/api-gateway",
    )
    assert "planted" not in repr(build)
