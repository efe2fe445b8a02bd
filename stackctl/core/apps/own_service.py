"""An app that is one service of the stack's own, on top of the gateway. Pure.

``services/NAME`` has its code, Dockerfile and lock. What holds for each: its settings are those whose names begin with
its own, its environment is made from its lock and its image is built here; it reaches the gateway and nothing else,
with a key of its own, and people reach it on loopback.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import Field
from typing import TYPE_CHECKING, Any

from stackctl.core.apps.app import TRUSTED_FILE, AppPlaces, AppService, GatewayLink
from stackctl.core.settings.places import find_gateway_place
from stackctl.core.settings.settings import list_settings, split_names

if TYPE_CHECKING:
    from stackctl.core.settings.settings import Settings

# Containers only: what passes connections on to services that are on no network with a way out.
INGRESS = "ingress"
# Of the gateway: a variable of this name and the service's holds the key that it is to know the service by.
KEY_VARIABLE = "GATEWAY_SERVICE_KEY"
OBSERVABILITY = "observability"

_SCRIPT = """\
umask 077; if [ -n "$SERVICE_FOLDER" ]; then mkdir -p "$SERVICE_FOLDER" || exit 1; fi
exec "$SERVICE_PYTHON" -m {package}"""
_PROBE = """\
"$SERVICE_PYTHON" -I -S -c 'import http.client, os
client = http.client.HTTPConnection("127.0.0.1", int(os.environ["SERVICE_PORT"]), timeout=4)
try:
    client.request("GET", "/health/ready")
    answer = client.getresponse()
    said = " ".join(answer.read(2000).decode("utf-8", "replace").split())
except (OSError, http.client.HTTPException) as error:
    raise SystemExit(f"no answer to /health/ready: {error}")
if answer.status != 200:
    raise SystemExit(f"answers {answer.status} to /health/ready: {said}")
print("answers /health/ready")' 2>&1"""


def name_prefix(service: str) -> str:
    """How the names of a service's settings and variables begin: ``CHAT_API_``."""
    return f"{service.upper().replace('-', '_')}_"


def name_package(service: str) -> str:
    """The service's Python package: ``chat_api``."""
    return service.replace("-", "_")


def find_port(settings: Settings, service: str) -> int:
    """The port that the service listens on."""
    return int(getattr(settings, f"{name_package(service)}_port"))


def find_url(settings: Settings, service: str) -> str:
    """Base URL of the service as this machine reaches it."""
    return f"http://127.0.0.1:{find_port(settings, service)}"


def build_own_service(
    service: str, settings: Settings, places: AppPlaces, *, keeps: bool = False, reaches: str = "", trusts: str = ""
) -> AppService:
    """The service in one runtime.

    Args:
        keeps: whether it keeps anything but a log in its folder, which it is then told of.
        reaches: what it reaches beside the gateway, as ``AppService`` has it.
        trusts: path on this machine of a PEM file that what it reaches there is trusted by; empty for the system's.
    """
    prefix = name_prefix(service)
    own = {item.name.upper(): item for item in list_settings() if item.name.upper().startswith(prefix)}
    secrets = {name: name for name, item in own.items() if item.metadata["secret"] and getattr(settings, item.name)}
    log_file = str(getattr(settings, f"{prefix.lower()}log_file"))
    folder = places.choose_folder(service, f"/var/lib/{service}") if keeps or log_file else ""
    program = places.find_own(service)
    port = find_port(settings, service)
    environment = {
        **_list_values(settings, own, prefix),
        **_list_hosts(settings, places, prefix),
        **({f"{prefix}FOLDER": folder} if keeps else {}),
        **({f"{prefix}LOG_FILE": f"{folder}/{log_file}"} if log_file else {}),
        **({f"{prefix}CA_BUNDLE": TRUSTED_FILE if places.in_container else trusts} if trusts else {}),
        f"{prefix}HOST": places.listen_address,
        f"{prefix}GATEWAY_URL": _find_gateway_url(settings, places),
        "HOME": places.scratch,
        "SERVICE_FOLDER": folder,
        "SERVICE_PORT": str(port),
        "SERVICE_PYTHON": program.python,
        **({} if places.in_container else {"PYTHONPATH": program.source, "SERVICE_DIGEST": program.digest}),
    }
    return AppService(
        name=service,
        port=port,
        script=_SCRIPT.format(package=name_package(service)),
        probe=_PROBE,
        environment=environment,
        # A key that is missing is missed by name, before anything starts.
        secrets={f"{prefix}GATEWAY_KEY": f"{prefix}GATEWAY_KEY", **secrets},
        image=str(getattr(settings, f"{prefix.lower()}image")),
        user="",
        folder=folder,
        is_published=True,
        is_own=True,
        reaches=reaches,
        trusts=trusts,
    )


def _list_values(settings: Settings, own: Mapping[str, Field[Any]], prefix: str) -> dict[str, str]:
    """The settings that are no secrets, as they are; what is empty is left to the service's own default."""
    here = {f"{prefix}{name}" for name in ("IMAGE", "LOG_FILE", "ALLOWED_HOSTS")}
    values = {name: getattr(settings, item.name) for name, item in own.items() if not item.metadata["secret"]}
    texts = {name: str(value).lower() if isinstance(value, bool) else str(value) for name, value in values.items()}
    return {name: text for name, text in texts.items() if name not in here and text}


def _list_hosts(settings: Settings, places: AppPlaces, prefix: str) -> dict[str, str]:
    """The names under which it may be asked: those of its setting, and in containers the one that Prometheus uses."""
    names = split_names(str(getattr(settings, f"{prefix.lower()}allowed_hosts")))
    if places.in_container and OBSERVABILITY in split_names(settings.stack_apps):
        names.append(INGRESS)
    return {f"{prefix}ALLOWED_HOSTS": ",".join(names)} if names else {}


def _find_gateway_url(settings: Settings, places: AppPlaces) -> str:
    place = f"api-gateway:{settings.api_gateway_port}" if places.in_container else find_gateway_place(settings)
    return f"http://{place}"


def link_own_service(service: str) -> GatewayLink:
    """The key by which the gateway knows the service."""
    prefix = name_prefix(service)
    return GatewayLink(secrets={f"{KEY_VARIABLE}_{prefix.removesuffix('_')}": f"{prefix}GATEWAY_KEY"})


def find_metrics(service: str, settings: Settings, places: AppPlaces) -> str:
    """Host and port at which Prometheus asks the service; a container's network it does not share."""
    return f"{INGRESS if places.in_container else '127.0.0.1'}:{find_port(settings, service)}"
