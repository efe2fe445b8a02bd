"""`stack.yml` as frozen values: models, providers, routes, aliases, limits. Pure types; stackfile_reader.py reads text.

Annotations carry each value's bounds and meaning: the reader and the JSON Schema are made from them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import Field, dataclass, field, fields
from typing import Annotated, Any, ClassVar, Literal

from annotated_types import Ge, Le, MinLen

from stackctl.core.settings.engine_environment import list_references
from stackctl.core.settings.stackfile_marks import AsWritten, Matches, Within

Mode = Literal["chat", "embedding", "rerank"]
ModelEngine = Literal["vllm"]
ProviderKeyRule = Literal["never", "allowed", "required"]
CacheWhen = Literal["always", "asked"]
ProviderKind = Literal["openai", "anthropic", "lm_studio", "ollama", "vllm", "openai-compatible", "internal"]
ServedName = Annotated[
    str, Matches(r"^[A-Za-z0-9][A-Za-z0-9._:/-]{0,127}$", "a name of letters, digits and . _ : / -, without spaces")
]
VariableName = Annotated[str, Matches(r"^[A-Z][A-Z0-9_]*$", "the name of a variable, such as OPENAI_API_KEY")]
HeaderName = Annotated[
    str, Matches(r"^[A-Za-z0-9!#$%&'*+.^_`|~-]+$", "the name of a request header, such as X-Tenant, without spaces")
]
HttpUrl = Annotated[
    str,
    Matches(r"^https?://[^\s]+$", "an address with its scheme and without spaces, such as http://localhost:1234/v1"),
]
AliasName = Annotated[
    str,
    Matches(
        r"^[A-Za-z0-9*][A-Za-z0-9._:/*-]{0,127}$",
        "a name of letters, digits and . _ : / -, in which * stands for any characters, such as claude-*",
    ),
]
Text = Annotated[str, MinLen(1)]
MaskName = Annotated[str, Matches(r"^[a-z][a-z0-9 -]{0,31}$", "a word of small letters, such as employee")]
EnvironmentName = Annotated[str, Matches(r"^[A-Za-z_][A-Za-z0-9_]*$", "the name of a variable")]
CacheSize = Annotated[str, Matches(r"^(auto|0|[1-9][0-9]*[kmg])$", "auto, 0 or a size such as 2g"), AsWritten((0,))]
Word = Annotated[str, AsWritten()]
Tokens = Annotated[int, Ge(0), Le(16_777_216)]
Positive = Annotated[int, Ge(1)]
# Bounds of what a route gives a request by default, as OpenAI's reference states them.
DEFAULT_BOUNDS = {
    "temperature": Within(0, 2),
    "top_p": Within(0, 1),
    "max_tokens": Within(1, 16_777_216),
    "presence_penalty": Within(-2, 2),
    "frequency_penalty": Within(-2, 2),
}
Seconds = Annotated[float, Ge(0.1), Le(86_400)]
MemoryShare = Annotated[float, Ge(0.05), Le(1)]
ParserName = Annotated[str, Matches(r"^[A-Za-z0-9_.-]+$", "the name of one of vLLM's parsers, such as hermes")]

# Read by pydantic when it builds the reader.
_CONFIG: dict[str, Any] = {"extra": "forbid", "strict": True}


def _key(help_text: str, default: Any = ..., factory: Callable[[], Any] | None = None) -> Any:
    """A key of the file with its meaning; without a default it must be given."""
    metadata = {"help": help_text}
    if factory is not None:
        return field(default_factory=factory, metadata=metadata)
    return field(metadata=metadata) if default is ... else field(default=default, metadata=metadata)


@dataclass(frozen=True, slots=True, kw_only=True)
class LocalModel:
    """A GGUF file or a Hugging Face folder that the stack serves itself, beside the three files that `.env` names."""

    __pydantic_config__: ClassVar[dict[str, Any]] = _CONFIG
    file: Text = _key("GGUF file in MODELS_DIR, of a split model its first shard; for vllm, a Hugging Face folder.")
    mode: Mode = _key("What the model is for.", "chat")
    engine: ModelEngine | None = _key("Engine of this model alone; empty takes INFERENCE_ENGINE.", None)
    context_length: Tokens = _key("Tokens per slot; 0 takes CONTEXT_LENGTH.", 0)
    slots: Annotated[int, Ge(0), Le(256)] = _key("Requests at the same time; 0 takes INFERENCE_SLOTS.", 0)
    gpu_layers: Annotated[int, Ge(-1), Le(10_000)] | None = _key("Layers on the GPU; empty takes GPU_LAYERS.", None)
    arguments: tuple[Word, ...] = _key("Further arguments of the engine, word by word.", ())
    environment: Mapping[EnvironmentName, Word] = _key(
        "Variables of this model's engine, before those of INFERENCE_ENVIRONMENT; ${NAME} takes a value from .env.",
        factory=dict,
    )
    prompt_cache: CacheSize | None = _key("Host memory for past prompts; empty takes PROMPT_CACHE.", None)
    gpu_memory: MemoryShare | None = _key("Share of each GPU's memory that vllm takes; empty takes 0.9.", None)
    tool_call_parser: ParserName | None = _key(
        "vllm's name of the parser of this model's tool calls, such as hermes; without one tools are refused.", None
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class RemoteModel:
    """A model that a provider serves."""

    __pydantic_config__: ClassVar[dict[str, Any]] = _CONFIG
    model: Text = _key("The provider's own name of the model.")
    mode: Mode = _key("What the model is for.", "chat")
    context_length: Positive | None = _key("Tokens that the model takes, when known.", None)


@dataclass(frozen=True, slots=True, kw_only=True)
class ProviderTimeouts:
    """How long one try may take, in seconds."""

    __pydantic_config__: ClassVar[dict[str, Any]] = _CONFIG
    connect: Seconds | None = _key("Until the connection stands; empty takes 10.", None)
    first_token: Seconds | None = _key("Until the first content of an answer; empty takes 120.", None)
    between_tokens: Seconds | None = _key("Between two pieces of a streamed answer; empty takes 120.", None)
    whole: Seconds | None = _key("Until the end of an answer; empty takes GATEWAY_REQUEST_TIMEOUT_S.", None)


@dataclass(frozen=True, slots=True, kw_only=True)
class IdentityHeaders:
    """Request headers in which a provider of kind internal is told who asks."""

    __pydantic_config__: ClassVar[dict[str, Any]] = _CONFIG
    ticket: HeaderName = _key("Header of the department's ticket.", "x-dep-ticket")
    user_id: HeaderName = _key("Header of the user.", "User-Id")
    user_type: HeaderName = _key("Header of the kind of user.", "User-Type")


@dataclass(frozen=True, slots=True, kw_only=True)
class Provider:
    """Another server behind the same gateway."""

    __pydantic_config__: ClassVar[dict[str, Any]] = _CONFIG
    kind: ProviderKind = _key("Which wire format it speaks; internal is a company's own of OpenAI's format.")
    api_base: HttpUrl | None = _key("Base URL; may be left out for openai and anthropic.", None)
    api_key: VariableName | None = _key("Name of the variable in .env that holds its key.", None)
    headers: Mapping[HeaderName, VariableName] = _key(
        "Request header to the variable in .env with its value.", factory=dict
    )
    ticket: VariableName | None = _key("Kind internal: name of the variable with the department's ticket.", None)
    user_id: VariableName | None = _key("Kind internal: name of the variable with the user.", None)
    user_type: VariableName | None = _key("Kind internal: name of the variable with the kind of user.", None)
    header_names: IdentityHeaders = _key("Kind internal: headers of those three.", factory=IdentityHeaders)
    local: bool = _key("Whether it is in the building, so that a route with local_only may go there.", False)
    proxied: bool | None = _key(
        "Whether it is asked through the company's proxy, where one is set; empty is yes unless it is local or on this"
        " machine.",
        None,
    )
    timeouts: ProviderTimeouts = _key("How long one try may take.", factory=ProviderTimeouts)
    min_interval_ms: Annotated[int, Ge(0), Le(86_400_000)] = _key(
        "Shortest time between the beginnings of two requests to it, in milliseconds; a request waits for its turn.", 0
    )
    rpm: Positive | None = _key("Requests a minute to all its models together; more are refused with 429.", None)
    tpm: Positive | None = _key("Tokens a minute of all its models together; more are refused with 429.", None)
    parallel: Positive | None = _key("Requests to it at the same time; more are refused with 429.", None)
    models: Annotated[Mapping[ServedName, RemoteModel], MinLen(1)] = _key("Served name to the provider's model.")

    def list_headers(self) -> dict[str, str]:
        """Every request header to the variable that holds its value."""
        names = self.header_names
        who = {names.ticket: self.ticket, names.user_id: self.user_id, names.user_type: self.user_type}
        return dict(self.headers) | {header: variable for header, variable in who.items() if variable}


@dataclass(frozen=True, slots=True, kw_only=True)
class RouteDefaults:
    """What a request gets that its client did not send."""

    __pydantic_config__: ClassVar[dict[str, Any]] = _CONFIG
    temperature: Annotated[float, DEFAULT_BOUNDS["temperature"]] | None = _key(
        "Randomness of the answer, 0 to 2.", None
    )
    top_p: Annotated[float, DEFAULT_BOUNDS["top_p"]] | None = _key(
        "Share of likely tokens to choose from, 0 to 1.", None
    )
    max_tokens: Annotated[int, DEFAULT_BOUNDS["max_tokens"]] | None = _key(
        "Longest answer, in tokens; agents that send no limit of their own stop there.", None
    )
    presence_penalty: Annotated[float, DEFAULT_BOUNDS["presence_penalty"]] | None = _key(
        "Against tokens already there, -2 to 2.", None
    )
    frequency_penalty: Annotated[float, DEFAULT_BOUNDS["frequency_penalty"]] | None = _key(
        "Against tokens by their count, -2 to 2.", None
    )

    def list_values(self) -> dict[str, float]:
        """Each default that is set, by the name of OpenAI's field."""
        values = {item.name: getattr(self, item.name) for item in fields(self)}
        return {name: value for name, value in values.items() if value is not None}


@dataclass(frozen=True, slots=True, kw_only=True)
class RouteCache:
    """For which requests to a route answers are kept and given again to equal ones."""

    __pydantic_config__: ClassVar[dict[str, Any]] = _CONFIG
    when: CacheWhen = _key("always, or asked: for requests with the header 'x-gateway-cache: use'.", "always")
    max_age: Annotated[float, Ge(1), Le(2_592_000)] = _key("Seconds after which an answer is not given again.", 3600)
    shared: bool = _key("Give an answer to every key of the same rights, not only to the one that asked.", False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Route:
    """What is tried, in order, for requests to one served name."""

    __pydantic_config__: ClassVar[dict[str, Any]] = _CONFIG
    targets: Annotated[tuple[ServedName, ...], MinLen(1)] | None = _key(
        "Served names that this name stands for, in order; empty is the model of this name.", None
    )
    fallbacks: Annotated[tuple[ServedName, ...], MinLen(1)] | None = _key(
        "Served names to try after those, in order.", None
    )
    retries: Annotated[int, Ge(0), Le(10)] | None = _key(
        "Further tries of a target before the next one; empty takes limits.retries.", None
    )
    deadline: Annotated[float, Ge(1), Le(86_400)] | None = _key(
        "Seconds for all tries together; empty takes GATEWAY_REQUEST_TIMEOUT_S.", None
    )
    local_only: bool = _key("Refuse targets that are not local, so that no request leaves the building.", False)
    defaults: RouteDefaults = _key("What a request gets that its client did not send.", factory=RouteDefaults)
    provider_key: ProviderKeyRule = _key(
        "Whether clients may (allowed) or must (required) send a key of their own for the provider.", "never"
    )
    cache: RouteCache | None = _key("Keep answers, and give them again to equal requests; empty keeps none.", None)

    @property
    def others(self) -> tuple[str, ...]:
        """Every served name that the route names, in order."""
        return (*(self.targets or ()), *(self.fallbacks or ()))


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelLimits:
    """Limits on one served name."""

    __pydantic_config__: ClassVar[dict[str, Any]] = _CONFIG
    requests_per_minute: Positive | None = _key("Requests a minute; more are refused with 429.", None)
    tokens_per_minute: Positive | None = _key("Tokens a minute; more are refused with 429.", None)
    parallel_requests: Positive | None = _key("Requests at the same time; more are refused with 429.", None)


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """Limits of the gateway."""

    __pydantic_config__: ClassVar[dict[str, Any]] = _CONFIG
    retries: Annotated[int, Ge(0), Le(10)] = _key("Further tries of a target before the next one.", 2)
    models: Mapping[ServedName, ModelLimits] = _key("Served name to its limits.", factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class ContentLog:
    """What is kept of prompts and answers, and what of them is hidden, where `stackctl content-log` is started."""

    __pydantic_config__: ClassVar[dict[str, Any]] = _CONFIG
    keep_days: Annotated[int, Ge(1), Le(90)] = _key("Days after which they are removed.", 7)
    keep_mb: Annotated[int, Ge(16), Le(100_000)] = _key("Megabytes after which the oldest are removed.", 100)
    mask: Mapping[MaskName, Text] = _key(
        "Word to a regular expression of Python; what it matches is hidden beside what always is.", factory=dict
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Cache:
    """The file of the answers that routes with a cache keep."""

    __pydantic_config__: ClassVar[dict[str, Any]] = _CONFIG
    size_mb: Annotated[int, Ge(1), Le(100_000)] = _key("Mebibytes; what was used longest ago is removed first.", 256)


@dataclass(frozen=True, slots=True, kw_only=True)
class StackFile:
    """The whole file."""

    __pydantic_config__: ClassVar[dict[str, Any]] = _CONFIG
    version: Literal[1] = _key("Version of this format.", 1)
    models: Mapping[ServedName, LocalModel] = _key("Served name to a model of our own engines.", factory=dict)
    providers: Mapping[str, Provider] = _key("Other servers behind the gateway.", factory=dict)
    routes: Mapping[ServedName, Route] = _key("Served name to what is tried for it.", factory=dict)
    aliases: Mapping[AliasName, ServedName] = _key(
        "Other names of served ones; * stands for any characters, and the first that matches counts.", factory=dict
    )
    limits: Limits = _key("Limits on requests.", factory=Limits)
    cache: Cache = _key("Answers that routes with a cache keep.", factory=Cache)
    content_log: ContentLog = _key("Prompts and answers that are written down for a time.", factory=ContentLog)

    def list_variables(self) -> frozenset[str]:
        """Names of the variables that providers and engines need from `.env` or the environment."""
        engines = (list_references(model.environment).values() for model in self.models.values())
        return self.list_provider_variables().union(*engines)

    def list_provider_variables(self) -> frozenset[str]:
        """Names of the variables that providers need from `.env` or the environment."""
        names: set[str] = set()
        for provider in self.providers.values():
            names.update(provider.list_headers().values(), [provider.api_key] if provider.api_key else [])
        return frozenset(names)


def describe_key(item: Field[Any]) -> str:
    """What a key means."""
    return str(item.metadata.get("help", ""))
