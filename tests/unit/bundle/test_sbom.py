"""The bill of materials: equal for equal content, complete, and honest where nothing is stated."""

from __future__ import annotations

import json
import random
from typing import Any

import pytest

from stackctl.core.bundle.pack.sbom import Component, build_sbom, parse_wheel_metadata, render_licences, render_sbom

PROGRAM = Component("program", "stackctl", "0.1.0", "0" * 64, "Apache-2.0")
IMAGE = Component("image", "ghcr.io/ggml-org/llama.cpp:server", "", "1" * 64, "MIT", "ghcr.io/ggml-org/llama.cpp")
MODEL = Component("model", "qwen 0.5b", "", "2" * 64, "", "https://models.example/qwen.gguf")
WHEEL = Component(
    "wheel", "Ruamel.YAML", "1.0+local", "3" * 64, "MIT OR Apache-2.0", "pkg:pypi/ruamel-yaml@1.0%2Blocal"
)
EVERY = (PROGRAM, IMAGE, MODEL, WHEEL)


def find(name: str) -> dict[str, Any]:
    """The component of that name in the document."""
    return next(item for item in build_sbom(EVERY)["components"] if item["name"] == name)


def test_equal_content_gives_equal_bytes_in_any_order() -> None:
    shuffled = [*EVERY, *EVERY]
    random.Random(7).shuffle(shuffled)
    assert render_sbom(shuffled) == render_sbom(EVERY)
    assert render_licences(shuffled) == render_licences(EVERY)


def test_the_serial_number_follows_the_content() -> None:
    first, second = build_sbom(EVERY), build_sbom((PROGRAM, IMAGE, MODEL))
    assert first["serialNumber"] != second["serialNumber"]
    assert first["serialNumber"].startswith("urn:uuid:")


def test_every_component_is_listed_with_its_digest() -> None:
    tree = json.loads(render_sbom(EVERY))
    listed = [tree["metadata"]["component"], *tree["components"]]
    assert [(item["type"], item["hashes"][0]["content"]) for item in listed] == [
        ("application", "0" * 64),
        ("container", "1" * 64),
        ("machine-learning-model", "2" * 64),
        ("library", "3" * 64),
    ]
    assert len({item["bom-ref"] for item in listed}) == 4


def test_a_package_of_a_lock_has_no_digest_of_its_own() -> None:
    listed = build_sbom([PROGRAM, Component("wheel", "click", "8.1.7", "", "", "requirements.lock")])["components"]
    assert listed == [
        {
            "type": "library",
            "bom-ref": "wheel:click@8.1.7",
            "name": "click",
            "version": "8.1.7",
            "purl": "pkg:pypi/click@8.1.7",
            "properties": [{"name": "stackctl:source", "value": "requirements.lock"}],
        }
    ]


def test_package_urls() -> None:
    image = f"pkg:oci/llama.cpp@sha256%3A{'1' * 64}?repository_url=ghcr.io/ggml-org/llama.cpp&tag=server"
    assert find(IMAGE.name)["purl"] == image
    assert find("Ruamel.YAML")["purl"] == "pkg:pypi/ruamel-yaml@1.0%2Blocal"
    assert "purl" not in find(MODEL.name)
    assert find(MODEL.name)["externalReferences"] == [{"type": "distribution", "url": MODEL.source}]


@pytest.mark.parametrize(
    ("licence", "described"),
    [
        ("MIT", [{"license": {"id": "MIT"}}]),
        ("MIT OR (Apache-2.0 AND ISC)", [{"expression": "MIT OR (Apache-2.0 AND ISC)"}]),
        ("BSD", [{"license": {"name": "BSD"}}]),
        ("Llama 3 Community License", [{"license": {"name": "Llama 3 Community License"}}]),
    ],
)
def test_licences_are_identifiers_only_where_spdx_has_them(licence: str, described: list[dict[str, Any]]) -> None:
    made = build_sbom([PROGRAM, Component("model", "m", "", "4" * 64, licence)])
    assert made["components"][0]["licenses"] == described


def test_what_is_not_stated_is_said_to_be_so() -> None:
    assert "licenses" not in find(MODEL.name)
    text = render_licences(EVERY)
    place = text.index("qwen 0.5b")
    assert "licence: not stated" in text[place : place + 60]
    titles = ["Programs", "Container images", "Models", "Python packages"]
    assert sorted(titles, key=text.index) == titles


@pytest.mark.parametrize(
    ("lines", "licence"),
    [
        ("License-Expression: Apache-2.0\nLicense: something else\n", "Apache-2.0"),
        ("License: BSD\nClassifier: License :: OSI Approved :: MIT License\n", "BSD"),
        ("License: UNKNOWN\nClassifier: License :: OSI Approved :: MIT License\n", "MIT License"),
        ("License: The whole text\n        of a licence\nClassifier: License :: Freeware\n", "License :: Freeware"),
        ("Classifier: Programming Language :: Python\n", ""),
    ],
)
def test_a_wheels_licence_is_what_its_metadata_says(lines: str, licence: str) -> None:
    text = f"Metadata-Version: 2.4\nName: Some.Package\nVersion: 1.2\n{lines}\nLicense: of the description\n"
    found = parse_wheel_metadata(text, "5" * 64)
    assert (found.name, found.version, found.sha256, found.licence) == ("Some.Package", "1.2", "5" * 64, licence)
    assert found.source == "pkg:pypi/some-package@1.2"
