"""The container that asks the state while the stack is down: locked as the gateway, without its keys and networks."""

from __future__ import annotations

import json

import yaml

from stackctl.core.access.offline_project import build_offline_file, find_offline_image
from tests.fakes import CHECKOUT

CASES = CHECKOUT / "tests" / "golden" / "cases"
DEMO = (CASES / "providers" / "expected" / "compose.p1.yml").read_text(encoding="utf-8")


def test_it_is_locked_as_the_gateway_and_has_the_state_alone() -> None:
    whole = yaml.safe_load(DEMO)
    gateway = whole["services"]["api-gateway"]
    text = build_offline_file(DEMO)
    project = json.loads(text)
    (service,) = project["services"].values()
    assert project["volumes"] == whole["volumes"]
    for name in ("image", "user", "read_only", "cap_drop", "security_opt", "pids_limit", "mem_limit", "tmpfs"):
        assert service[name] == gateway[name]
    assert service["network_mode"] == "none"
    assert service["environment"] == {"GATEWAY_STATE": "/var/lib/api-gateway"}
    assert [item["target"] for item in service["volumes"]] == ["/var/lib/api-gateway"]
    assert not service.keys() & {"ports", "networks", "labels", "healthcheck", "restart", "extra_hosts", "dns"}
    assert "KEY" not in text


def test_a_folder_of_the_sites_own_takes_the_volumes_place() -> None:
    project = yaml.safe_load(DEMO)
    gateway = project["services"]["api-gateway"]
    own = {"type": "bind", "source": "/srv/keys", "target": "/var/lib/api-gateway"}
    gateway["volumes"] = [item for item in gateway["volumes"] if item["type"] != "volume"] + [own]
    built = json.loads(build_offline_file(json.dumps(project)))
    assert built["services"]["api-gateway"]["volumes"] == [own]
    assert built["volumes"] == {}


def test_the_image_is_named_as_the_engine_names_it() -> None:
    project = yaml.safe_load(DEMO)
    project["services"]["api-gateway"]["image"] = "registry.example/a$$b:1"
    assert find_offline_image(build_offline_file(json.dumps(project))) == "registry.example/a$b:1"
