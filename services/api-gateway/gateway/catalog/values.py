"""The catalogue as frozen values: providers, targets, routes and aliases. Pure.

A *target* is one model at one server. A *route* is what a client's name leads to: targets in the order in which they
are tried. An *alias* is a pattern of further names of a route.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

ProviderKeyRule = Literal["never", "allowed", "required"]
CacheWhen = Literal["always", "asked"]
Mode = Literal["chat", "embedding", "rerank"]
# Kinds of servers that are engines of this stack: they have slots, and what they leave to their client is done here.
ENGINE_KINDS = frozenset({"engine", "vllm-engine"})
DEFAULT_QUEUE_LENGTH = 4096
DEFAULT_WAIT_S = 600.0
DEFAULT_CACHE_AGE_S = 3600.0
DEFAULT_CACHE_MB = 256
FORMATS = ("chat", "completions", "embeddings", "rerank", "messages", "responses")


@dataclass(frozen=True, slots=True)
class Timeouts:
    """Longest waits for one try at a server, in seconds.

    Attributes:
        first_token_s: from the request to the first content of the answer.
        between_tokens_s: between two pieces of the answer.
    """

    connect_s: float = 5.0
    first_token_s: float = 600.0
    between_tokens_s: float = 120.0
    whole_s: float = 600.0


@dataclass(frozen=True, slots=True)
class Limits:
    """What one target or provider may be asked, over all gateway processes; None is no limit."""

    requests_per_minute: int | None = None
    tokens_per_minute: int | None = None
    parallel_requests: int | None = None


@dataclass(frozen=True, slots=True)
class Provider:
    """One server or service that models are asked at.

    Attributes:
        is_local: whether it stands in the building; the operator says so, an address never does.
        is_proxied: whether it is asked through the company's proxy, where there is one.
        fresh_connections: whether each request gets a connection of its own: llama.cpp's server cuts used ones.
        slots: requests that the server answers at the same time; None when it is not for us to count.
        min_interval_s: shortest time between the beginnings of two requests; 0 for none.
        limits: what all its models together may be asked.
    """

    name: str
    kind: str
    is_local: bool = False
    is_proxied: bool = False
    fresh_connections: bool = False
    slots: int | None = None
    timeouts: Timeouts = Timeouts()
    min_interval_s: float = 0.0
    limits: Limits = Limits()

    @property
    def is_engine(self) -> bool:
        """Whether the server is an engine of this stack."""
        return self.kind in ENGINE_KINDS

    @property
    def speaks_anthropic(self) -> bool:
        """Whether the server's own format is Anthropic's; all others speak OpenAI's."""
        return self.kind == "anthropic"


@dataclass(frozen=True, slots=True)
class Target:
    """One model at one server.

    Attributes:
        name: its served name, unique.
        model: the server's own name of it.
        base_url: address that paths such as ``/chat/completions`` are put behind, without a slash at its end.
        key: the gateway's key at the server; empty when it wants none.
        headers: further request headers.
        context_length: tokens of prompt and answer together; None when unknown.
        tools, images: whether the model's template takes tools, and whether it has a projector; None when unknown.
        revision: what tells its files and its engine's arguments from others under the same name; empty when unknown.
    """

    name: str
    provider: Provider
    model: str
    mode: Mode
    base_url: str
    key: str = field(default="", repr=False)
    headers: tuple[tuple[str, str], ...] = field(default=(), repr=False)
    context_length: int | None = None
    tools: bool | None = None
    images: bool | None = None
    limits: Limits = Limits()
    revision: str = ""


@dataclass(frozen=True, slots=True)
class CacheRule:
    """For which requests to a route answers are kept, and given again to equal ones.

    Attributes:
        when: ``always``, or ``asked``: for requests that ask for it in a header.
        max_age_s: age of the oldest answer that is given again.
        is_shared: whether any key of the same rights gets it; otherwise only the one that asked.
    """

    when: CacheWhen = "always"
    max_age_s: float = DEFAULT_CACHE_AGE_S
    is_shared: bool = False


@dataclass(frozen=True, slots=True)
class Route:
    """What one served name leads to.

    Attributes:
        targets: at least one, in the order in which they are tried.
        retries: further tries of each target after the first.
        deadline_s: seconds for all tries together.
        local_only: whether only local targets may be asked.
        defaults: fields of the request that are set where the client sent none.
        provider_key: whether callers may, or must, bring a key of their own for the provider.
        cache: when answers are kept; None never keeps one.
    """

    name: str
    targets: tuple[Target, ...]
    retries: int = 0
    deadline_s: float = DEFAULT_WAIT_S
    local_only: bool = False
    defaults: Mapping[str, Any] = field(default_factory=dict)
    provider_key: ProviderKeyRule = "never"
    cache: CacheRule | None = None

    @property
    def mode(self) -> Mode:
        """What the route is for; the same for all its targets."""
        return self.targets[0].mode

    @property
    def tools(self) -> bool | None:
        """Whether its first target's template takes tools; None when unknown, and where nobody chats."""
        return self.targets[0].tools if self.targets[0].mode == "chat" else None

    @property
    def context_length(self) -> int | None:
        """Tokens of prompt and answer together that its first target takes."""
        return self.targets[0].context_length


def covers(pattern: str, name: str) -> bool:
    """Whether a name is the pattern's, in which ``*`` stands for any run of characters."""
    # By hand: a client chooses the name, and a regular expression of several stars can take minutes on a long one.
    first, *middle = pattern.split("*")
    if not middle:
        return name == first
    last = middle.pop()
    if not (name.startswith(first) and name.endswith(last) and len(name) >= len(first) + len(last)):
        return False
    at, end = len(first), len(name) - len(last)
    for part in middle:
        found = name.find(part, at, end)
        if found < 0:
            return False
        at = found + len(part)
    return True


@dataclass(frozen=True, slots=True)
class Alias:
    """Further names of a route: ``match`` with ``*`` for any run of characters."""

    match: str
    route: str

    def covers(self, name: str) -> bool:
        """Whether a name is one of these."""
        return covers(self.match, name)


@dataclass(frozen=True, slots=True)
class ContentRules:
    """What is kept of prompts and answers where the operator has them logged, and what of them is hidden.

    Attributes:
        keep_days: age of the oldest.
        keep_mb: size of all together.
        masks: regular expressions beside the gateway's own, by the word that is written for what they match.
    """

    keep_days: int = 7
    keep_mb: int = 100
    masks: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Catalog:
    """Everything that the configuration says of what is served.

    Attributes:
        formats: formats that are answered, of ``FORMATS``.
        embeddings: whether embeddings are answered at all.
        queue_length: requests that may wait for one engine.
        queue_wait_s: longest wait for a slot, in seconds.
        cors_origins: origins whose pages may call; none sends no CORS header.
        cache_mb: mebibytes that the kept answers of all routes may take.
    """

    routes: Mapping[str, Route]
    aliases: tuple[Alias, ...] = ()
    formats: frozenset[str] = frozenset(FORMATS)
    embeddings: bool = True
    queue_length: int = DEFAULT_QUEUE_LENGTH
    queue_wait_s: float = DEFAULT_WAIT_S
    cors_origins: tuple[str, ...] = ()
    content: ContentRules = ContentRules()
    cache_mb: int = DEFAULT_CACHE_MB

    def find(self, name: str) -> Route | None:
        """The route of a name: its own, or that of the first alias which covers it."""
        route = self.routes.get(name)
        if route is not None:
            return route
        return next((self.routes[alias.route] for alias in self.aliases if alias.covers(name)), None)

    @property
    def secrets(self) -> tuple[str, ...]:
        """What the gateway is known by at its servers: keys, and values of headers that may be some."""
        return tuple(
            value for item in self.targets for value in (item.key, *(text for _, text in item.headers)) if value
        )

    @property
    def targets(self) -> tuple[Target, ...]:
        """Every target, each once."""
        return tuple({item.name: item for route in self.routes.values() for item in route.targets}.values())
