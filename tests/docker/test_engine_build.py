"""The engine that a site builds itself: llama-cpp-python from its package's source, up, healthy, answering.

The build takes minutes. Its image stays, named by its sources' digest, so only a change builds again.
"""

from __future__ import annotations

import pytest

from tests.docker.sites import ANSWERS, MakeSite, Site

pytestmark = [pytest.mark.docker, pytest.mark.engine_build]


@pytest.fixture
def site(make_site: MakeSite, gateway_image: str) -> Site:
    """Under a name that is always the same, so the image's is, too."""
    return make_site(
        "stack-test-engine",
        keeps_images=True,
        INFERENCE_ENGINE="llama-cpp-python",
        INFERENCE_IMAGE="",
        GATEWAY_IMAGE=gateway_image,
    )


def test_the_engine_that_is_built_here_serves(site: Site) -> None:
    site.run_well("up")
    image = site.list_containers()["inference-chat"].attrs["Config"]["Image"]
    assert image.startswith("stack-test-engine/llama-cpp-python:")
    code, report = site.load_health()
    assert code == 0, report
    # It answers one request at a time, and says so.
    (context,) = [item for item in report["results"] if (item["layer"], item["subject"]) == ("context", "local-chat")]
    assert context["detail"].endswith("x 1 slots")
    assert site.run_well("chat", "What are you?").stdout.strip() == ANSWERS["What are you?"]
    site.run_well("down")
    assert site.list_remains() == []
    assert site.client.images.get(image)
