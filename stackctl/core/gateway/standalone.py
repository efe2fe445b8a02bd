"""The same routes for LiteLLM's own proxy, which knows nothing of this stack: nobody is locked in. Pure.

In: a ``GatewayConfig``, and the variables with addresses. Out: the configuration in the terms that LiteLLM has for it.
What LiteLLM has no term for is left out: slots and the queue, time-outs between tokens, one deadline over all tries.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from stackctl.core.gateway.aliases import WILDCARD
from stackctl.core.gateway.config import Deployment, GatewayConfig, GatewayRoute


@dataclass(frozen=True, slots=True)
class Variable:
    """A variable that the proxy must be started with.

    Attributes:
        here: its value for a proxy on this machine; empty for a secret, which `.env` has.
        in_container: its value for a container on the stack's networks.
    """

    name: str
    here: str = ""
    in_container: str = ""


@dataclass(frozen=True, slots=True)
class StandaloneConfig:
    """What the template of the standalone configuration is rendered with.

    Attributes:
        deployments: one for each route, alias and model that only routes name.
        fallbacks: name of a deployment, and the names to try when it fails.
    """

    gateway: GatewayConfig
    deployments: tuple[Deployment, ...]
    fallbacks: tuple[tuple[str, tuple[str, ...]], ...]
    addresses: tuple[Variable, ...]
    secrets: tuple[str, ...]


def build_standalone(
    config: GatewayConfig, addresses: tuple[Variable, ...], secrets: tuple[str, ...]
) -> StandaloneConfig:
    """Build the configuration of LiteLLM's own proxy."""
    models = {item.served_name: _complete(config, item) for item in config.deployments}
    routes = {route.name: route for route in config.routes}
    # A model whose name a route gives to others keeps a name of its own, for the routes that mean the model.
    hidden = {name: f"{name}@{models[name].provider}" for name in models if routes[name].targets[0] != name}
    named = {name for route in config.routes for name in route.targets[1:]}
    entries = [_serve(route, models[route.targets[0]]) for route in config.routes]
    entries += [replace(models[name], served_name=own) for name, own in hidden.items() if name in named]
    aliases = [replace(routes[alias.route], name=alias.match) for alias in config.aliases]
    entries += [_serve(alias, models[alias.targets[0]]) for alias in aliases]
    fallbacks = [
        (route.name, tuple(hidden.get(name, name) for name in route.targets[1:]))
        for route in (*config.routes, *aliases)
        # LiteLLM looks for fallbacks under the name that was asked for, which a name with a star never is.
        if route.targets[1:] and WILDCARD not in route.name
    ]
    return StandaloneConfig(config, tuple(entries), tuple(fallbacks), addresses, secrets)


def _complete(config: GatewayConfig, deployment: Deployment) -> Deployment:
    """A deployment with what the gateway has from its provider: a time-out, and whether connections are kept."""
    provider = next(item for item in config.providers if item.name == deployment.provider)
    fresh = (("Connection", "close"),) if provider.fresh_connections else ()
    return replace(deployment, timeout_s=provider.timeouts.whole, headers=(*deployment.headers, *fresh))


def _serve(route: GatewayRoute, deployment: Deployment) -> Deployment:
    """The deployment under the route's name, with what the route gives each request."""
    return replace(deployment, served_name=route.name, num_retries=route.retries, defaults=route.defaults)
