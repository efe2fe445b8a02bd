"""Which gateway and which of its models a tool is given, and what will go wrong with them. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from urllib.parse import urlsplit

from stackctl.core.connect.values import Gateway, Model, Tool
from stackctl.core.models.served import NO_TOOLS
from stackctl.errors import ConfigError, Finding, Severity, suggest_nearest


def read_url(text: str) -> str:
    """The address of a gateway, without a path.

    Raises:
        ConfigError: it is none.
    """
    url = text.strip().rstrip("/").removesuffix("/v1").rstrip("/")
    try:
        parts = urlsplit(url)
        is_address = parts.scheme in ("http", "https") and parts.hostname and (parts.port or True)
    except ValueError:
        is_address = False
    if not is_address or parts.path or parts.query or parts.fragment or "@" in parts.netloc or not url.isprintable():
        raise ConfigError(f"'{text}' is no address of a gateway.", "give one such as http://gpu.example:8000")
    return url


def choose_models(tool: Tool, url: str, models: Sequence[Model], wanted: str) -> Gateway:
    """The gateway with the model that a tool is given: the first that it can work with.

    Args:
        wanted: the model that was asked for; empty for none.

    Raises:
        ConfigError: no model chats, or not the one that was asked for.
    """
    chats = {item.name: item for item in models if item.is_chat}
    if not chats:
        raise ConfigError("This key may ask no model that chats.", "see 'stackctl keys show' and 'stackctl models'")
    if wanted and wanted not in chats:
        hint = suggest_nearest(wanted, chats) or f"there are: {', '.join(chats)}"
        raise ConfigError(f"'{wanted}' is no model that chats here.", hint)
    able = [item for item in chats.values() if item.tools is not False or not tool.needs_tools]
    embeds = [item.name for item in models if item.mode == "embedding"]
    chat = chats[wanted] if wanted else next(iter([*able, *chats.values()]))
    return Gateway(url, chat, embeds[0] if embeds else "")


def read_model(item: Mapping[str, object]) -> Model:
    """One entry of ``/v1/models``."""
    context, tools = item.get("context_length"), item.get("supports_tools")
    return Model(
        str(item.get("id")),
        context if isinstance(context, int) else None,
        str(item.get("mode", "chat")),
        tools if isinstance(tools, bool) else None,
    )


def is_too_short(tool: Tool, gateway: Gateway) -> bool:
    """Whether a tool's first request has more tokens than the model."""
    return gateway.chat.context is not None and gateway.chat.context < tool.needs_context


def find_troubles(tool: Tool, gateway: Gateway, advice: str = "") -> tuple[Finding, ...]:
    """What will go wrong with this tool, each as a warning.

    Args:
        advice: how the model is given a longer context, and what that costs; empty where the gateway is another
            machine's.
    """
    model, context = gateway.chat, gateway.chat.context
    found: list[tuple[str, str]] = []
    if tool.needs_tools and model.tools is False:
        found.append(
            (
                f"{NO_TOOLS}, and {tool.title} works by calling them",
                "choose a model that was trained for tool use: 'stackctl models recommend'",
            )
        )
    if is_too_short(tool, gateway):
        found.append(
            (
                f"{tool.title} begins with about {tool.needs_context:,} tokens, and the model has {context:,}",
                advice or "raise it where the gateway runs: 'stackctl doctor' there says how, and what it costs",
            )
        )
    host = urlsplit(gateway.url).hostname or ""
    if gateway.url.startswith("http:") and not (host in ("localhost", "::1") or host.startswith("127.")):
        found.append(
            (
                f"key, prompts and answers travel to {host} so that others in the network can read them",
                "put TLS in front of the gateway, and name its https address",
            )
        )
    return tuple(Finding(model.name, message, hint, Severity.WARNING) for message, hint in found)


def explain_no_answer(url: str, error: str) -> tuple[str, str] | None:
    """Why TLS came to nothing, and what to do; None where it was not for its certificate.

    Args:
        error: in the words of OpenSSL.
    """
    host = urlsplit(url).hostname or ""
    if "not yet valid" in error or "has expired" in error:
        said = "is not yet valid" if "not yet" in error else "has expired"
        return (
            f"The certificate of {host} {said}, by this machine's clock.",
            "compare both clocks; on that machine 'stackctl doctor' says when its certificate ends",
        )
    if "ALERT_INTERNAL_ERROR" in error or "alert internal error" in error:
        return (
            f"The server at {host} has no certificate for that name.",
            "use a name that 'stackctl lan show' lists on that machine",
        )
    if "mismatch" in error:
        return (
            f"The certificate of {host} is for other names.",
            "use a name that 'stackctl lan show' lists on that machine",
        )
    if "CERTIFICATE_VERIFY_FAILED" in error:
        return (
            f"The certificate of {host} is not trusted here: {error.rpartition(': ')[2]}.",
            "fetch the CA's certificate, which 'stackctl lan show' names on that machine, and put"
            " SSL_CERT_FILE=stack-ca.pem before this command",
        )
    if "WRONG_VERSION_NUMBER" in error or "wrong version number" in error:
        return f"{host} speaks no TLS there.", "check the port, or write http:// where the network may read along"
    return None
