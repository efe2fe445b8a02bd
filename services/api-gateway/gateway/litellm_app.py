"""LiteLLM's proxy as an ASGI application that holds our routes only.

In: ``Settings``. Out: the application and, once it has started, the models it failed to serve. Does I/O: importing
LiteLLM reads its files, and its start-up reads the configuration. Nothing here reaches the network.

LiteLLM builds over 600 routes, 12 middlewares and an admin UI at import. The routes that the gate would refuse are
never built (0.7 s of CPU and 16 MB less), and the middlewares are taken out, because the gate does what we need of
them once instead of once more for every streamed chunk; see docs/decisions/gateway-tuning.md.
"""

from __future__ import annotations

import gc
import os
import sys
from collections.abc import Callable
from importlib import import_module
from typing import TYPE_CHECKING, Any

from fastapi import routing

from gateway.edge.routes import LITELLM_PATHS
from gateway.proxies import bypass_proxies
from gateway.settings import Settings

if TYPE_CHECKING:
    from starlette.types import ASGIApp

# Nothing may call out at start or while counting tokens: a cut-off site would wait for time-outs.
OFFLINE_ENVIRONMENT = {
    "DISABLE_ADMIN_UI": "True",
    "HF_HUB_DISABLE_TELEMETRY": "1",
    "HF_HUB_OFFLINE": "1",
    "LITELLM_DISABLE_LATEST_RELEASE_CHECK": "true",
    "LITELLM_LOCAL_ANTHROPIC_BETA_HEADERS": "True",
    "LITELLM_LOCAL_AUTOROUTER_PRESETS": "True",
    "LITELLM_LOCAL_BLOG_POSTS": "True",
    "LITELLM_LOCAL_MODEL_COST_MAP": "True",
    "LITELLM_LOCAL_POLICY_TEMPLATES": "true",
    "LITELLM_OFFLINE_MODE": "true",
    "LITELLM_TELEMETRY_DISABLED": "true",
    "NO_DOCS": "True",
    "NO_OPENAPI": "True",
    "NO_REDOC": "True",
}

# An answer that repeats one token is the model's business: LiteLLM would cut it after a hundred, and a ruled line
# or a table has more. The delays are those between retries; the defaults made two retries take 5 s.
# An engine's container that is killed takes its network with it, and no end of the connection is ever heard: TCP
# asks whether the other side is still there, and a client hears within 20 s instead of at the request's time-out.
# A container that is created again may get another address, and aiohttp would keep the old one for 300 s: streams
# failed for five minutes after an edit. Docker's own name server answers a question in well under a millisecond.
BEHAVIOUR_ENVIRONMENT = {
    "AIOHTTP_SO_KEEPALIVE": "true",
    "AIOHTTP_TCP_KEEPCNT": "3",
    "AIOHTTP_TCP_KEEPIDLE": "5",
    "AIOHTTP_TCP_KEEPINTVL": "5",
    "AIOHTTP_TTL_DNS_CACHE": "0",
    "INITIAL_RETRY_DELAY": "0.1",
    "MAX_RETRY_DELAY": "1.0",
    "REPEATED_STREAMING_CHUNK_LIMIT": "1000000000",
}

# Tried on every request, and each time read, run and failed, because the OpenTelemetry SDK is not installed.
_ABSENT_MODULES = ("litellm.integrations.otel.logger",)

# LiteLLM imports these, 150 ms, on the first request of a process. Ready means ready: the first user does not wait for
# them, and forked workers share them.
_FIRST_REQUEST_MODULES = (
    "litellm.integrations.shadow_eval_logger",
    "litellm.litellm_core_utils.default_encoding",
    "litellm.proxy._experimental.mcp_server.auth.user_api_key_auth_mcp",
    "litellm.proxy._experimental.mcp_server.mcp_server_manager",
    "litellm.proxy.anthropic_endpoints.endpoints",
)


def prepare_environment(settings: Settings) -> None:
    """Set what LiteLLM reads from the environment, before it is imported."""
    os.environ.update(OFFLINE_ENVIRONMENT | BEHAVIOUR_ENVIRONMENT | bypass_proxies(os.environ, settings.direct_hosts))
    os.environ["CONFIG_FILE_PATH"] = settings.config_path
    os.environ["LITELLM_MASTER_KEY"] = settings.admin_key


def load_app(settings: Settings) -> ASGIApp:
    """Import LiteLLM and keep what we serve of it.

    Garbage is not collected meanwhile (5.0 s of CPU become 3.6 s) and what is loaded is then left out of every
    later collection, which also keeps its memory shared between forked workers.
    """
    prepare_environment(settings)
    for name in _ABSENT_MODULES:
        sys.modules[name] = None  # type: ignore[assignment]  # Python's own way to say: fails at once
    gc.disable()
    kept = _keep_only(routing.APIRouter)
    import litellm
    from litellm.proxy import proxy_server

    for name in _FIRST_REQUEST_MODULES:
        import_module(name)

    litellm.suppress_debug_info = True  # prints with every error otherwise
    app = proxy_server.app
    app.router.routes = kept
    app.user_middleware.clear()
    gc.enable()
    gc.collect()
    gc.freeze()
    # The default of 700 new objects is below what one request makes.
    gc.set_threshold(20_000, 20, 50)
    return app


def _keep_only(router_class: Any) -> list[Any]:
    """Make FastAPI's routers drop every route that is not ours; returns the list of those kept, still empty."""
    kept: list[Any] = []
    add_api_route: Callable[..., None] = router_class.add_api_route

    def add_if_served(self: Any, path: str, *args: Any, **kwargs: Any) -> None:
        if self.prefix + path in LITELLM_PATHS:
            before = len(self.routes)
            add_api_route(self, path, *args, **kwargs)
            kept.extend(self.routes[before:])

    router_class.add_api_route = add_if_served
    return kept


def find_missing_models(expected: frozenset[str]) -> list[str]:
    """Models of the configuration that LiteLLM does not serve: it drops what it does not know with a log line.

    Call it after the application has started.
    """
    from litellm.proxy import proxy_server

    router = proxy_server.llm_router
    served = frozenset(router.get_model_names()) if router is not None else frozenset()
    return sorted(expected - served)
