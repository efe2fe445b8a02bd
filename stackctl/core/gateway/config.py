"""What the gateway is configured with, as the values that ``services/api-gateway/config.p1.yaml.j2`` is rendered with.

Pure types. deployments.py and routes.py build them; config_check.py checks the rendered text.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

DeploymentMode = Literal["chat", "embedding", "rerank"]

CONFIG_FILE = "config.p1.yaml"
# What a server is sent that wants no key: LiteLLM's clients do not send nothing.
NO_KEY = "none"
# What the gateway can serve, by the format that clients speak.
FORMATS = ("chat", "completions", "embeddings", "rerank", "messages", "responses")


@dataclass(frozen=True, slots=True)
class Deployment:
    """One model behind the gateway.

    Attributes:
        served_name: name that clients ask for.
        model: LiteLLM's name of the model, ``<provider>/<name at the provider>``.
        api_base: base URL, or ``os.environ/NAME``; empty takes the provider's own.
        api_key: reference ``os.environ/NAME``, or ``none`` where the provider wants no key.
        provider: name of the ``GatewayProvider`` that serves it.
        context_length: tokens of prompt and answer together; ``None`` when unknown.
        rpm, tpm: hard limits of requests and tokens a minute.
        headers: request headers that every call to the provider carries; values may be ``os.environ/NAME``.
        timeout_s, num_retries, defaults: what LiteLLM's own proxy is told here, and the gateway elsewhere.
        takes_tools, takes_images: what the model's template and projector can; ``None`` when unknown.
        revision: what tells the model's files and its engine's arguments from others; empty when unknown.
    """

    served_name: str
    model: str
    api_base: str
    api_key: str
    mode: DeploymentMode
    provider: str
    context_length: int | None = None
    max_output_tokens: int | None = None
    rpm: int | None = None
    tpm: int | None = None
    max_parallel_requests: int | None = None
    headers: tuple[tuple[str, str], ...] = ()
    timeout_s: float | None = None
    num_retries: int | None = None
    defaults: Mapping[str, float] = field(default_factory=dict)
    takes_tools: bool | None = None
    takes_images: bool | None = None
    revision: str = ""


@dataclass(frozen=True, slots=True)
class Timeouts:
    """How long one try at one server may take, in seconds.

    Attributes:
        connect: until the connection stands, TLS included.
        first_token: from the request to the first content of the answer.
        between_tokens: between two pieces of a streamed answer.
        whole: from the request to the end of the answer.
    """

    connect: float
    first_token: float
    between_tokens: float
    whole: float


@dataclass(frozen=True, slots=True)
class GatewayProvider:
    """One server that the gateway asks: an engine of ours, or a provider of `stack.yml`.

    Attributes:
        kind: ``engine``, or a kind of provider of `stack.yml`.
        is_local: whether a request that must stay in the building may go there.
        slots: requests that it answers at the same time; the gateway never sends more. ``None`` sets no limit.
        is_proxied: whether it is asked through the company's proxy, where one is set.
        fresh_connections: whether each call gets a connection of its own. llama.cpp's server cuts connections that are
            used again: of 200 streamed calls at 8 clients 3 to 4 failed so, and none of 400 over fresh ones.
        min_interval_ms: shortest time between the beginnings of two requests; 0 for none.
        rpm, tpm, parallel: requests and tokens a minute, and requests at the same time, of all its models together.
    """

    name: str
    kind: str
    is_local: bool
    timeouts: Timeouts
    slots: int | None = None
    is_proxied: bool = False
    fresh_connections: bool = False
    min_interval_ms: int = 0
    rpm: int | None = None
    tpm: int | None = None
    parallel: int | None = None

    @property
    def limits(self) -> tuple[tuple[str, int], ...]:
        """Its limits by their names; those that it has."""
        given = (("rpm", self.rpm), ("tpm", self.tpm), ("parallel", self.parallel))
        return tuple((name, limit) for name, limit in given if limit is not None)


@dataclass(frozen=True, slots=True)
class GatewayRoute:
    """What is tried for requests to one served name.

    Attributes:
        targets: served names in the order they are tried, n >= 1.
        retries: further tries of a target that failed, before the next one.
        deadline_s: seconds for all tries together.
        is_local_only: whether no target outside the building is tried, whatever else fails.
        defaults: what a request gets that the client did not say, by the name of OpenAI's field.
        provider_key: whether clients may, or must, bring a key of their own: ``never``, ``allowed``, ``required``.
        cache: when answers are kept, as the gateway reads it; ``None`` keeps none.
    """

    name: str
    targets: tuple[str, ...]
    retries: int
    deadline_s: float
    is_local_only: bool = False
    defaults: Mapping[str, float] = field(default_factory=dict)
    provider_key: str = "never"
    cache: Mapping[str, Any] | None = None


@dataclass(frozen=True, slots=True)
class GatewayAlias:
    """Another name of a route; ``*`` in ``match`` stands for any run of characters."""

    match: str
    route: str


@dataclass(frozen=True, slots=True)
class GatewayConfig:
    """The values that the template of the gateway's configuration is rendered with.

    Attributes:
        providers, routes: in the order of the file, by the names that deployments and requests use.
        aliases: the first that matches counts.
        num_retries: further tries of a target where its route says nothing else.
        formats: formats that clients are served in, of ``FORMATS``.
        queue_length: requests that may wait for a slot, over all models.
        queue_wait_s: seconds that one may wait.
        cors_origins: origins that a browser may ask from; empty sends no CORS headers.
        log_prompts: whether prompts and answers may be logged; the gateway reads it from its environment.
        content_log: what is kept of them and hidden where they are; empty takes the gateway's own.
        cache_mb: mebibytes of the answers that routes with a cache keep.
    """

    deployments: tuple[Deployment, ...]
    providers: tuple[GatewayProvider, ...] = ()
    routes: tuple[GatewayRoute, ...] = ()
    aliases: tuple[GatewayAlias, ...] = ()
    request_timeout_s: float = 600.0
    num_retries: int = 0
    formats: tuple[str, ...] = FORMATS
    has_embeddings: bool = True
    queue_length: int = 4096
    queue_wait_s: float = 600.0
    cors_origins: tuple[str, ...] = ()
    log_prompts: bool = False
    content_log: Mapping[str, Any] = field(default_factory=dict)
    cache_mb: int = 256

    @property
    def fallbacks(self) -> tuple[tuple[str, tuple[str, ...]], ...]:
        """Each model that has fallbacks under its own name, with them in order, as LiteLLM knows them."""
        return tuple(
            (route.name, route.targets[1:])
            for route in self.routes
            if route.targets[1:] and route.targets[0] == route.name
        )

    @property
    def has_cache(self) -> bool:
        """Whether any route keeps answers."""
        return any(route.cache is not None for route in self.routes)

    @property
    def has_rate_limits(self) -> bool:
        """Whether any deployment limits requests or tokens a minute."""
        return any(item.rpm is not None or item.tpm is not None for item in self.deployments)
