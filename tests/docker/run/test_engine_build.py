"""The engines that a site builds itself: up, healthy, answering.

xllamacpp takes seconds; llama-cpp-python is compiled, which takes minutes. The images stay, named by their sources'
digest, so only a change builds again.
"""

from __future__ import annotations

import json

import pytest

from tests.docker.sites import ANSWERS, MakeSite, Site

pytestmark = pytest.mark.docker


@pytest.mark.parametrize(
    ("engine", "slots"),
    [("xllamacpp", 4), pytest.param("llama-cpp-python", 1, marks=pytest.mark.engine_build)],
)
def test_the_engine_that_is_built_here_serves(make_site: MakeSite, gateway_image: str, engine: str, slots: int) -> None:
    site: Site = make_site(
        INFERENCE_ENGINE=engine,
        INFERENCE_IMAGE="",
        GATEWAY_IMAGE=gateway_image,
    )
    site.run_well("up")
    image = site.list_containers()["inference-chat"].attrs["Config"]["Image"]
    assert image.startswith(f"stackctl.invalid/{engine}:")
    code, report = site.load_health()
    assert code == 0, json.dumps(report, indent=1)
    # llama-cpp-python answers one request at a time, and says so.
    (context,) = [item for item in report["results"] if (item["layer"], item["subject"]) == ("context", "local-chat")]
    assert context["detail"].endswith(f"x {slots} slots")
    assert site.run_well("chat", "What are you?").stdout.strip() == ANSWERS["What are you?"]
    site.run_well("down")
    assert site.list_remains() == []
    assert site.client.images.get(image)
