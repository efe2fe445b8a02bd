"""The container of an app's service: whose image it is, which networks it is on, what of it is published. Pure.

The names of all networks are here.
"""

from __future__ import annotations

from dataclasses import replace
from ipaddress import ip_address

from stackctl.core.apps.app import ANYWHERE, APPS_ALONE, AppService
from stackctl.core.stack.container import Container
from stackctl.core.stack.image_choice import Images

INFERENCE_NETWORK = "inference"
EDGE_NETWORK = "edge"
PROVIDERS_NETWORK = "providers"
APPS_NETWORK = "apps"
# Where a container's look-ups of what is no service end: inside it, where nobody listens.
NO_NAME_SERVER = "127.0.0.1"


def has_shared_network(apps: tuple[AppService, ...]) -> bool:
    """Whether any service of an app is on the network that apps share."""
    return any(not app.is_own or app.reaches == APPS_ALONE for app in apps)


def list_own_networks(apps: tuple[AppService, ...]) -> tuple[str, ...]:
    """The networks of the stack's own services, which have their names."""
    return tuple(app.name for app in apps if app.is_own)


def complete_app(app: AppService, container: Container, images: Images) -> Container:
    """Change what is different for an app: its own image, user and volume, on a network with the gateway alone."""
    is_gateway = not app.image and not app.is_own
    is_local = images.gateway_is_local if is_gateway else app.name in images.built_apps
    container = replace(
        container,
        image=images.gateway if is_gateway else images.apps[app.name],
        pull_policy="never" if images.is_released or is_local else "missing",
        entrypoint=container.command[:2],
        command=container.command[2:],
        stop_grace_period_s=30,
        gpu_images={},
        user=app.user or container.user,
        sees_gpus=app.sees_gpus,
        capabilities=app.capabilities,
        stop_signal="" if app.stop_signal == "TERM" else f"SIG{app.stop_signal}",
        volumes={f"{app.name}-data": app.folder} if app.folder else {},
    )
    return _place_own(app, container) if app.is_own else _place_foreign(app, container)


def _place_foreign(app: AppService, container: Container) -> Container:
    """Put a program of others on the network of apps, and where people open it, publish it."""
    return replace(
        container,
        ports=(publish(app),) if app.is_published else (),
        networks=(EDGE_NETWORK, APPS_NETWORK) if app.is_published else (APPS_NETWORK,),
    )


def _place_own(app: AppService, container: Container) -> Container:
    """Put a service of ours on a network of its own with the gateway; the ingress publishes it."""
    shared = {APPS_ALONE: (APPS_NETWORK,), ANYWHERE: (PROVIDERS_NETWORK,)}.get(app.reaches, ())
    is_open = app.reaches == ANYWHERE
    return replace(
        container,
        networks=(app.name, *shared),
        name_servers=() if is_open else container.name_servers,
        reaches_host=is_open,
    )


def publish(app: AppService) -> str:
    """The service's port as it is published."""
    return f"{write_address(app.published_address)}:{app.port}:{app.port}"


def write_address(address: str) -> str:
    """An IP address as it stands before a port."""
    return f"[{address}]" if ip_address(address).version == 6 else address
