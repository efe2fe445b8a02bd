"""The rendered Compose project as a rehearsal: the same services, each in a network namespace that is watched. Pure.

In: the rendered files. Out: the files of the rehearsal. For each service X there is a companion ``watch-X`` that owns
X's network namespace: its networks, its name on them, its published ports. X itself runs unchanged inside that
namespace, and only once the companion has closed and watches it, so not even a service's first instruction goes unseen.
Nothing is ever pulled.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import yaml

from stackctl.core.proof.sightings import NAME_SERVER
from stackctl.core.stack.names import COMPOSE_FILE, GATEWAY, GPU_OVERLAYS

WATCH_SCRIPT = "watch.py"
WATCH_PREFIX = "watch-"
PROJECT_SUFFIX = "-prove"
# Inside a companion; /run is a tmpfs of its own.
_SCRIPT_PATH = "/watch.py"
_READY_FILE = "/run/ready"
# What belongs to a network namespace, and so moves to the container that owns it.
_NETWORK_KEYS = ("networks", "ports", "extra_hosts", "hostname", "dns")


def name_project(stack_name: str) -> str:
    """Compose's project name of the rehearsal: never the stack's own, whose containers it must not touch."""
    return f"{stack_name}{PROJECT_SUFFIX}"


def name_watch(service: str) -> str:
    """Name of the companion of a service."""
    return f"{WATCH_PREFIX}{service}"


def build_rehearsal_files(files: Mapping[str, str], watch_script: str) -> dict[str, str]:
    """The files that a rehearsal starts from.

    Args:
        files: rendered files by path; GPU overlays and configurations are taken over as they are.
        watch_script: text of ``stackctl/programs/watch.py``.
    """
    project = build_rehearsal_project(yaml.safe_load(files[COMPOSE_FILE]))
    # JSON, which is YAML, too. Nothing is escaped again: a doubled "$" is still doubled in the parsed text.
    return {**files, COMPOSE_FILE: json.dumps(project, indent=2) + "\n", WATCH_SCRIPT: watch_script}


def build_rehearsal_project(project: Mapping[str, Any]) -> dict[str, Any]:
    """Turn the parsed Compose project into that of the rehearsal."""
    watch_image = project["services"][GATEWAY]["image"]  # the one image that certainly has Python
    services: dict[str, Any] = {}
    for name, service in project["services"].items():
        services[name_watch(name)] = _build_watch(name, service, watch_image)
        services[name] = _build_watched(name, service)
    return {**project, "name": name_project(project["name"]), "services": services}


def _build_watched(name: str, service: Mapping[str, Any]) -> dict[str, Any]:
    """A service with all its restrictions, in its companion's namespace."""
    kept = {key: value for key, value in service.items() if key not in _NETWORK_KEYS}
    return {
        **kept,
        "pull_policy": "never",
        "network_mode": f"service:{name_watch(name)}",
        "depends_on": {**kept.get("depends_on", {}), name_watch(name): {"condition": "service_healthy"}},
    }


def _build_watch(name: str, service: Mapping[str, Any], image: str) -> dict[str, Any]:
    """The companion of a service: root inside, with no more than what closing and watching a namespace takes."""
    moved = {key: service[key] for key in _NETWORK_KEYS if key in service and key != "networks"}
    return {
        "image": image,
        "pull_policy": "never",
        "entrypoint": ["python3", "-I", "-S", _SCRIPT_PATH],
        "command": [_READY_FILE],
        "working_dir": "/",
        **moved,
        "networks": {network: {"aliases": [name]} for network in service["networks"]},
        # Docker's own name server passes on what it does not know: to an address that only the watch sees.
        "dns": [NAME_SERVER],
        "dns_search": ["."],
        "volumes": [
            {
                "type": "bind",
                "source": f"${{STACK_RENDERED:-.}}/{WATCH_SCRIPT}",
                "target": _SCRIPT_PATH,
                "read_only": True,
                "bind": {"create_host_path": False},
            }
        ],
        "user": "0:0",
        "read_only": True,
        "tmpfs": ["/run:rw,noexec,nosuid,nodev,size=1m,mode=755"],
        "cap_drop": ["ALL"],
        "cap_add": ["NET_ADMIN", "NET_RAW"],
        "security_opt": ["no-new-privileges:true"],
        "pids_limit": 16,
        "restart": "no",
        "stop_grace_period": "15s",
        "healthcheck": {
            "test": ["CMD", "test", "-e", _READY_FILE],
            "interval": "1s",
            "timeout": "5s",
            "retries": 30,
        },
        "logging": {"driver": "json-file", "options": {"max-size": "64m", "max-file": "2"}},
    }


def list_images(files: Mapping[str, str], gpu: str) -> tuple[str, ...]:
    """Every image that the rendered project runs with this GPU."""
    images: dict[str, str] = {}
    for name in (COMPOSE_FILE, *([GPU_OVERLAYS[gpu]] if gpu != "none" else [])):
        services = yaml.safe_load(files[name])["services"]
        images |= {service: values["image"].replace("$$", "$") for service, values in services.items()}
    return tuple(sorted(set(images.values())))
