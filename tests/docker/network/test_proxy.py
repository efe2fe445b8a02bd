"""Docker may give every container a proxy: engines are not asked through it, nor is anything on loopback."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.docker.sites import Site

pytestmark = pytest.mark.docker


def test_the_proxy_of_docker_s_configuration_is_not_asked_for_engines(stopped: Site, tmp_path: Path) -> None:
    """In no container anything listens at the proxy's address, so whatever is asked through it fails."""
    proxy = "http://127.0.0.1:9"
    proxies = {"default": {"httpProxy": proxy, "httpsProxy": proxy, "noProxy": "intranet.example"}}
    (tmp_path / "config.json").write_text(json.dumps({"proxies": proxies}), encoding="utf-8")
    (tmp_path / "cli-plugins").symlink_to(Path.home() / ".docker" / "cli-plugins")
    behind = {"DOCKER_CONFIG": str(tmp_path)}
    done = stopped.run("up", environment=behind)
    assert done.code == 0, done.text
    for container in stopped.list_containers().values():
        assert f"HTTP_PROXY={proxy}" in container.attrs["Config"]["Env"], "the proxy did not get there"
    assert stopped.load_health()[0] == 0
    assert stopped.run_well("chat", "ping").stdout.strip() == "pong"
    stopped.run_well("down")
