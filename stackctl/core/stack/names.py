"""Names of a stack's services and files, for all that look at a stack and make none. Pure.

Who only looks needs neither templates nor settings, and importing those takes most of the time of a short command.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

from stackctl.errors import ConfigError, suggest_nearest

GATEWAY = "api-gateway"

GATEWAY_CONFIG = "config.p1.yaml"
COMPOSE_FILE = "compose.p1.yml"
SUPERVISOR_FILE = "supervisord.p1.conf"
RELAY_FILE = "relay.py"
# Way to a GPU to the file laid over the Compose file: one for each kind, and NVIDIA's by CDI devices.
GPU_OVERLAYS = {gpu: f"compose.p1.gpu-{gpu}.yml" for gpu in ("amd", "nvidia", "nvidia-cdi", "vulkan")}

# What people put beside `stack.yml` to add to the Compose file or to change it, by Compose's own names, and the name
# under which a copy of it is started from.
OVERRIDE_FILE = "compose.override.yml"
OVERRIDE_NAMES = (OVERRIDE_FILE, "compose.override.yaml", "docker-compose.override.yml", "docker-compose.override.yaml")

# The standalone configuration of LiteLLM's own proxy.
LITELLM_FILE = "litellm.yaml"


def check_service_names(known: Sequence[str], names: tuple[str, ...]) -> None:
    """Refuse a service that the stack does not have.

    Raises:
        ConfigError: there is no such service; names the nearest.
    """
    for name in names:
        if name not in known:
            raise ConfigError(
                f"'{name}' is no service of this stack.",
                suggest_nearest(name, known) or f"services are: {', '.join(known)}",
            )


# Where supervisor's control socket has a folder, and what to do where this user cannot make one.
SOCKET_ROOT = "/tmp"  # noqa: S108
SOCKET_ACCESS = "let this user write there: chmod 1777 /tmp; in a container without one: docker run --tmpfs /tmp"


def find_socket(state_dir: str) -> str:
    """Path of supervisor's control socket: short, because a socket's path may have 107 bytes and a site's more."""
    name = hashlib.sha256(state_dir.encode()).hexdigest()[:16]
    return f"{SOCKET_ROOT}/stackctl-{name}/supervisor.sock"  # in a folder of mode 0700 that up makes and checks


def find_secrets(state_dir: str) -> str:
    """Path of the file, of mode 0600, from which the launcher takes each service's secrets."""
    return f"{state_dir}/secrets.json"
