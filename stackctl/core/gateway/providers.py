"""Other servers behind the gateway: what `stack.yml` says of them, in LiteLLM's terms. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from ipaddress import ip_address
from urllib.parse import urlsplit

from stackctl.core.gateway.config import GatewayProvider
from stackctl.core.gateway.timeouts import choose_provider_timeouts
from stackctl.core.settings.stackfile import Mode, Provider, ProviderKind, StackFile

# LiteLLM's provider prefix for each kind; what speaks OpenAI's format without being OpenAI keeps its schemas.
PREFIXES: dict[ProviderKind, str] = {
    "openai": "openai",
    "anthropic": "anthropic",
    "lm_studio": "lm_studio",
    "ollama": "ollama_chat",
    "vllm": "hosted_vllm",
    "openai-compatible": "openai",
    "internal": "openai",
}
# LiteLLM's prefix for Ollama's embeddings is another than the one for its chat.
OLLAMA_EMBEDDINGS = "ollama"
_LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1"})
CONTAINER_HOST = "host.docker.internal"


@dataclass(frozen=True, slots=True)
class RemoteEndpoint:
    """One model of one provider, under its served name.

    Attributes:
        litellm_model: LiteLLM's name of the model, with the provider's prefix.
        url: base URL as the operator wrote it, without a slash at its end; empty takes the provider's own.
        key_variable: variable that holds the key; empty when the provider needs none.
        headers: each request header and the variable that holds its value.
    """

    served_name: str
    provider: str
    litellm_model: str
    mode: Mode
    url: str
    key_variable: str
    headers: tuple[tuple[str, str], ...]
    context_length: int | None

    @property
    def url_variable(self) -> str:
        """Name of the variable in which the gateway finds the base URL."""
        stem = "".join(c if c.isalnum() and c.isascii() else "_" for c in self.provider.upper())
        return f"PROVIDER_{stem}_URL"

    @property
    def is_on_this_machine(self) -> bool:
        """Whether the URL is a loopback one, which a container reaches under another name."""
        return urlsplit(self.url).hostname in _LOOPBACK

    @property
    def needs_name_server(self) -> bool:
        """Whether a name must be looked up to reach the provider: its host is neither an address nor this machine."""
        if self.is_on_this_machine:
            return False
        try:
            ip_address(urlsplit(self.url).hostname or "")
        except ValueError:
            return True
        return False

    def find_url(self, in_container: bool) -> str:
        """The base URL as the gateway must use it."""
        if not (in_container and self.is_on_this_machine):
            return self.url
        parts = urlsplit(self.url)
        user, at, _ = parts.netloc.rpartition("@")
        port = f":{parts.port}" if parts.port else ""
        return parts._replace(netloc=f"{user}{at}{CONTAINER_HOST}{port}").geturl()


def list_endpoints(stackfile: StackFile) -> tuple[RemoteEndpoint, ...]:
    """Every model of every provider, in the file's order."""
    return tuple(
        RemoteEndpoint(
            served_name=served_name,
            provider=name,
            litellm_model=f"{_choose_prefix(provider.kind, model.mode)}/{model.model}",
            mode=model.mode,
            url=(provider.api_base or "").rstrip("/"),  # LiteLLM puts '/v1/messages' behind it as it stands
            key_variable=provider.api_key or "",
            headers=tuple(sorted(provider.list_headers().items())),
            context_length=model.context_length,
        )
        for name, provider in stackfile.providers.items()
        for served_name, model in provider.models.items()
    )


def _choose_prefix(kind: ProviderKind, mode: Mode) -> str:
    return OLLAMA_EMBEDDINGS if kind == "ollama" and mode == "embedding" else PREFIXES[kind]


def build_provider(name: str, provider: Provider, endpoint: RemoteEndpoint, timeout_s: float) -> GatewayProvider:
    """A provider as the gateway asks it.

    Args:
        endpoint: any of its models, for its address.
        timeout_s: seconds that one request may take altogether.
    """
    # A proxy would look for this machine at itself.
    is_outside = not (provider.local or endpoint.is_on_this_machine)
    return GatewayProvider(
        name=name,
        kind=provider.kind,
        is_local=provider.local,
        timeouts=choose_provider_timeouts(provider.timeouts, timeout_s),
        is_proxied=is_outside if provider.proxied is None else provider.proxied,
        min_interval_ms=provider.min_interval_ms,
        rpm=provider.rpm,
        tpm=provider.tpm,
        parallel=provider.parallel,
    )
