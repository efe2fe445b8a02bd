"""Commands that build images: base images and mirrors as arguments, a password in none of them."""

from __future__ import annotations

import pytest

from stackctl.core.compose_view import Images, choose_images
from stackctl.core.engines import ENGINES, OFFICIAL_IMAGES
from stackctl.core.image_build import ImageBuild, list_builds, list_pulls
from stackctl.core.settings import Settings

OFFICIAL, OWN = ENGINES["llama.cpp"], ENGINES["llama-cpp-python"]


def list_all(settings: Settings, engine: str = "llama.cpp", gpu: str = "none") -> tuple[Images, list[ImageBuild]]:
    images = choose_images(settings, ENGINES[engine], "aaa", "bbb")
    return images, list(list_builds(settings, ENGINES[engine], images, "/opt/stackctl", gpu))


def test_the_official_engine_is_pulled_and_the_gateway_is_built() -> None:
    images, (build,) = list_all(Settings())
    assert list_pulls(images, "nvidia") == (OFFICIAL_IMAGES["nvidia"],)
    assert (build.tag, build.folder) == ("ai-stack/api-gateway:aaa", "/opt/stackctl/services/api-gateway")


@pytest.mark.parametrize(
    ("gpu", "cuda", "tag"), [("none", "off", "bbb"), ("nvidia", "on", "bbb-cuda"), ("vulkan", "off", "bbb")]
)
def test_our_own_engine_is_built_for_the_gpu(gpu: str, cuda: str, tag: str) -> None:
    images, builds = list_all(Settings(), OWN.name, gpu)
    assert list_pulls(images, gpu) == ()
    assert builds[1].tag == f"ai-stack/llama-cpp-python:{tag}"
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
        *("--secret", "id=ca,src=/etc/ca bundle.pem", "--tag", "ai-stack/api-gateway:aaa"),
        "/opt/stackctl/services/api-gateway",
    )
    assert "planted" not in repr(build)
