"""`stack.yml` as frozen values: models, providers, routes and limits. Pure types; stackfile_reader.py reads the text.

Annotations carry each value's bounds and meaning: the reader and the JSON Schema are made from them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import Field, dataclass, field
from typing import Annotated, Any, ClassVar, Literal

from annotated_types import Ge, Le, MinLen

from stackctl.core.settings.engine_environment import list_references


@dataclass(frozen=True, slots=True)
class Matches:
    """Marks a text that must match a pattern; pydantic asks it for its schema when the file is read.

    Attributes:
        expected: what the pattern means, for a person.
    """

    pattern: str
    expected: str

    def __get_pydantic_core_schema__(self, source: Any, handler: Callable[[Any], Any]) -> Any:
        """The schema of a text with this pattern."""
        from pydantic_core import core_schema

        text = core_schema.str_schema(pattern=self.pattern, strict=True)
        return core_schema.custom_error_schema(text, "expected", custom_error_message=self.expected)


@dataclass(frozen=True, slots=True)
class AsWritten:
    """Marks a text that YAML may read as something else; the reader takes it as it is written.

    Attributes:
        values: numbers that YAML reads such a text as; empty for every number and truth value.
    """

    values: tuple[int, ...] = ()

    def __get_pydantic_json_schema__(self, schema: Any, handler: Callable[[Any], Any]) -> Any:
        """The JSON Schema of the text, or of the other value that an editor may see."""
        return {
            "anyOf": [handler(schema), {"enum": list(self.values)} if self.values else {"type": ["number", "boolean"]}]
        }


Mode = Literal["chat", "embedding", "rerank"]
ProviderKind = Literal["openai", "anthropic", "lm_studio", "ollama", "vllm", "openai-compatible"]
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
Text = Annotated[str, MinLen(1)]
EnvironmentName = Annotated[str, Matches(r"^[A-Za-z_][A-Za-z0-9_]*$", "the name of a variable")]
CacheSize = Annotated[str, Matches(r"^(auto|0|[1-9][0-9]*[kmg])$", "auto, 0 or a size such as 2g"), AsWritten((0,))]
Word = Annotated[str, AsWritten()]
Tokens = Annotated[int, Ge(0), Le(16_777_216)]
Positive = Annotated[int, Ge(1)]

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
    """A GGUF file that the stack serves itself, beside the three that `.env` names."""

    __pydantic_config__: ClassVar[dict[str, Any]] = _CONFIG
    file: Text = _key("GGUF file in MODELS_DIR; of a split model, its first shard.")
    mode: Mode = _key("What the model is for.", "chat")
    context_length: Tokens = _key("Tokens per slot; 0 takes CONTEXT_LENGTH.", 0)
    slots: Annotated[int, Ge(0), Le(256)] = _key("Requests at the same time; 0 takes INFERENCE_SLOTS.", 0)
    gpu_layers: Annotated[int, Ge(-1), Le(10_000)] | None = _key("Layers on the GPU; empty takes GPU_LAYERS.", None)
    arguments: tuple[Word, ...] = _key("Further llama-server arguments, word by word.", ())
    environment: Mapping[EnvironmentName, Word] = _key(
        "Variables of this model's engine, before those of INFERENCE_ENVIRONMENT; ${NAME} takes a value from .env.",
        factory=dict,
    )
    prompt_cache: CacheSize | None = _key("Host memory for past prompts; empty takes PROMPT_CACHE.", None)


@dataclass(frozen=True, slots=True, kw_only=True)
class RemoteModel:
    """A model that a provider serves."""

    __pydantic_config__: ClassVar[dict[str, Any]] = _CONFIG
    model: Text = _key("The provider's own name of the model.")
    mode: Mode = _key("What the model is for.", "chat")
    context_length: Positive | None = _key("Tokens that the model takes, when known.", None)


@dataclass(frozen=True, slots=True, kw_only=True)
class Provider:
    """Another server behind the same gateway."""

    __pydantic_config__: ClassVar[dict[str, Any]] = _CONFIG
    kind: ProviderKind = _key("Which wire format it speaks.")
    api_base: HttpUrl | None = _key("Base URL; may be left out for openai and anthropic.", None)
    api_key: VariableName | None = _key("Name of the variable in .env that holds its key.", None)
    headers: Mapping[HeaderName, VariableName] = _key(
        "Request header to the variable in .env with its value.", factory=dict
    )
    models: Annotated[Mapping[ServedName, RemoteModel], MinLen(1)] = _key("Served name to the provider's model.")


@dataclass(frozen=True, slots=True, kw_only=True)
class Route:
    """What happens to requests for one served name."""

    __pydantic_config__: ClassVar[dict[str, Any]] = _CONFIG
    fallbacks: Annotated[tuple[ServedName, ...], MinLen(1)] = _key(
        "Served names to try, in order, when this one fails."
    )


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
class StackFile:
    """The whole file."""

    __pydantic_config__: ClassVar[dict[str, Any]] = _CONFIG
    version: Literal[1] = _key("Version of this format.", 1)
    models: Mapping[ServedName, LocalModel] = _key("Served name to a model of our own engines.", factory=dict)
    providers: Mapping[str, Provider] = _key("Other servers behind the gateway.", factory=dict)
    routes: Mapping[ServedName, Route] = _key("Served name to its fallbacks.", factory=dict)
    limits: Limits = _key("Limits on requests.", factory=Limits)

    def list_variables(self) -> frozenset[str]:
        """Names of the variables that providers and engines need from `.env` or the environment."""
        engines = (list_references(model.environment).values() for model in self.models.values())
        return self.list_provider_variables().union(*engines)

    def list_provider_variables(self) -> frozenset[str]:
        """Names of the variables that providers need from `.env` or the environment."""
        names: set[str] = set()
        for provider in self.providers.values():
            names.update(provider.headers.values(), [provider.api_key] if provider.api_key else [])
        return frozenset(names)


def describe_key(item: Field[Any]) -> str:
    """What a key means."""
    return str(item.metadata.get("help", ""))
