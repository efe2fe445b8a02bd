"""A stack that is watched in a bundle: its images, and the files that they are started with."""

from __future__ import annotations

import yaml

from stackctl.core.stack.names import COMPOSE_FILE
from tests.operations.bundle.pack.packer import Packer, set_env

PASSWORD = "planted-grafana-password"


def test_its_images_and_its_files_travel_and_its_password_does_not(packer: Packer) -> None:
    set_env(packer, STACK_APPS="observability", GRAFANA_PASSWORD=PASSWORD)
    manifest = packer.pack().manifest
    assert {"app.prometheus", "app.grafana"} <= {use for image in manifest.images for use in image.uses}
    project = yaml.safe_load(packer.texts[f"rendered/{COMPOSE_FILE}"])
    for service in ("prometheus", "grafana"):
        mounted = [mount["source"] for mount in project["services"][service]["volumes"] if mount["type"] == "bind"]
        assert mounted
        for source in mounted:
            assert f"rendered/{source.rsplit('/', 1)[-1]}" in packer.texts
    assert "rendered/prometheus.process.yml" not in packer.texts
    assert not [name for name, text in packer.texts.items() if PASSWORD in text]
