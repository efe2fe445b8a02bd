"""The Compose project in which the gateway's program does one action on its state while the stack is down. Pure.

In: the text of the Compose project. Out: the text of a project with the gateway's service alone, locked as it always
is, without keys, and on no network unless its state is in a database elsewhere: the program needs the state alone.
"""

from __future__ import annotations

import json
from typing import Any

from stackctl.core.stack.names import GATEWAY

OFFLINE_FILE = "administer.yml"
MODULE = "gateway.administer"
_STATE_VARIABLE = "GATEWAY_STATE"
# All that says where the state is; the container's values, or Compose's references to them.
STATE_VARIABLES = (_STATE_VARIABLE, "GATEWAY_DATABASE_URL", "GATEWAY_DATABASE_PASSWORD", "GATEWAY_CA_BUNDLE")
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
    import yaml  # imported late: the names above are asked for by commands that read no Compose file

    project = yaml.safe_load(text)
    gateway = project["services"][GATEWAY]
    environment = gateway["environment"]
    places = {environment[_STATE_VARIABLE], environment.get("GATEWAY_CA_BUNDLE")}
    service: dict[str, Any] = {
        **{name: gateway[name] for name in _KEPT if name in gateway},
        "entrypoint": ["/opt/venv/bin/python", "-m", MODULE],
        "environment": {name: environment[name] for name in STATE_VARIABLES if name in environment},
        "network_mode": "bridge" if "GATEWAY_DATABASE_URL" in environment else "none",
        "volumes": [item for item in gateway["volumes"] if item["target"] in places],
    }
    if "GATEWAY_DATABASE_URL" in environment:
        service |= {name: gateway[name] for name in ("extra_hosts",) if name in gateway}
    named = {item["source"] for item in service["volumes"] if item["type"] == "volume"}
    volumes = {name: value for name, value in (project.get("volumes") or {}).items() if name in named}
    return json.dumps({"services": {GATEWAY: service}, "volumes": volumes}, indent=2) + "\n"


def find_offline_image(text: str) -> str:
    """Name of the image that the container is made of."""
    return str(json.loads(text)["services"][GATEWAY]["image"]).replace("$$", "$")
