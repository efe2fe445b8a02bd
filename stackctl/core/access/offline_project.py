"""The Compose project in which the gateway's program does one action on its volume while the stack is down. Pure.

In: the text of the Compose project. Out: the text of a project with the gateway's service alone, locked as it always
is, on no network, without keys: the program needs nothing but the state.
"""

from __future__ import annotations

import json
from typing import Any

import yaml

from stackctl.core.stack.stack import GATEWAY

OFFLINE_FILE = "administer.yml"
MODULE = "gateway.administer"
_STATE_VARIABLE = "GATEWAY_STATE"
# What holds for the gateway holds for this container: who it is, and all that it may not.
_KEPT = (
    "image",
    "pull_policy",
    "user",
    "read_only",
    "tmpfs",
    "cap_drop",
    "security_opt",
    "init",
    "pids_limit",
    "mem_limit",
    "memswap_limit",
)


def build_offline_file(text: str) -> str:
    """The project's text: JSON, which is YAML, too.

    Args:
        text: the rendered Compose file, or what Compose makes of it and the site's own override.
    """
    project = yaml.safe_load(text)
    gateway = project["services"][GATEWAY]
    state = gateway["environment"][_STATE_VARIABLE]
    service: dict[str, Any] = {
        **{name: gateway[name] for name in _KEPT if name in gateway},
        "entrypoint": ["/opt/venv/bin/python", "-m", MODULE],
        "environment": {_STATE_VARIABLE: state},
        "network_mode": "none",
        "volumes": [item for item in gateway["volumes"] if item["target"] == state],
    }
    named = {item["source"] for item in service["volumes"] if item["type"] == "volume"}
    volumes = {name: value for name, value in (project.get("volumes") or {}).items() if name in named}
    return json.dumps({"services": {GATEWAY: service}, "volumes": volumes}, indent=2) + "\n"


def find_offline_image(text: str) -> str:
    """Name of the image that the container is made of."""
    return str(json.loads(text)["services"][GATEWAY]["image"]).replace("$$", "$")
