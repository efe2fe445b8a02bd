"""What of a site goes into a bundle: settings without those of one machine, and what no packed file may hold. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import fields, replace
from pathlib import PurePosixPath
from typing import Any

from stackctl.core.settings.names.table import list_names
from stackctl.core.settings.settings import Settings, setting_names
from stackctl.core.settings.sources import Origin, ResolvedSettings
from stackctl.core.text.yamltree import parse_yaml
from stackctl.errors import Finding

# Settings of one machine, not of the stack: where it listens, what it runs on, where its files lie, what it trusts.
MACHINE_SETTINGS = frozenset(
    {
        "STACK_RUNTIME",
        "STACK_BUILD_ENGINE",
        "STACK_GPU",
        "GPU_DEVICES",
        "GPU_ACCESS",
        "GPU_GROUPS",
        "INFERENCE_MEMLOCK",
        "INFERENCE_SHM_SIZE",
        "SELINUX_RELABEL",
        "MODELS_DIR",
        "INFERENCE_THREADS",
        "INFERENCE_IMAGE",
        "VLLM_IMAGE",
        "VLLM_PROGRAM",
        "GATEWAY_REDIS_URL",
        "REDIS_IMAGE",
        "REDIS_PORT",
        "POSTGRES_IMAGE",
        "POSTGRES_PORT",
        "PROMETHEUS_IMAGE",
        "PROMETHEUS_PORT",
        "GPU_METRICS_PORT",
        "GRAFANA_IMAGE",
        "GRAFANA_PORT",
        "LAN_NAMES",
        "LAN_PORT",
        "LAN_ADDRESS",
        "LAN_CERTIFICATE",
        "LAN_CERTIFICATE_KEY",
        "CADDY_IMAGE",
        "CHAT_API_IMAGE",
        "CHAT_API_PORT",
        "CHAT_API_ALLOWED_HOSTS",
        "AGENTS_IMAGE",
        "AGENTS_PORT",
        "AGENTS_ALLOWED_HOSTS",
        "GATEWAY_IMAGE",
        "GATEWAY_CA_BUNDLE",
        "GATEWAY_HOSTS",
        "BIND_ADDRESS",
        "API_GATEWAY_PORT",
        "INFERENCE_PORT",
        "BASE_IMAGE",
        "BUILD_BASE_IMAGE",
        "BUILD_CA_BUNDLE",
        "PIP_INDEX_URL",
        "HF_ENDPOINT",
        "BUNDLE_PUBLIC_KEY",
    }
)
MODEL_SETTINGS = ("CHAT_MODEL", "CODE_MODEL", "EMBEDDING_MODEL")
# A shorter value stands in ordinary text by chance.
MIN_SECRET_CHARACTERS = 8
_LOGIN = re.compile(r"https?://[^\s/?#@\"']+@(?P<host>[^\s/?#\"']+)")


def render_settings(resolved: ResolvedSettings) -> str:
    """The text of ``settings.env``: what somebody set, apart from secrets and this machine's own.

    Of other tools' names it takes those that are about the stack and that no setting says already.
    """
    lines = []
    for item in fields(Settings):
        name = item.name.upper()
        if item.metadata["secret"] or name in MACHINE_SETTINGS or resolved.origins[name] is Origin.DEFAULT:
            continue
        value = getattr(resolved.values, item.name)
        text = str(value).lower() if isinstance(value, bool) else str(value)
        lines.append(f"{name}={_quote(PurePosixPath(text).name if name in MODEL_SETTINGS else text)}\n")
    named = resolved.overlay.names.keep_travelling()
    lines += [
        f"{item.name.upper()}={_quote(str(getattr(named.values, item.name)))}\n"
        for item in list_names()
        if item.name.upper() in named.given and item.metadata["becomes"] not in setting_names()
    ]
    return "".join(lines)


def drop_machine_settings(settings: Settings) -> Settings:
    """The settings as on a machine that has none of its own: those of this machine are at their defaults."""
    own = (item for item in fields(Settings) if item.name.upper() in MACHINE_SETTINGS)
    defaults: dict[str, Any] = {item.name: item.default for item in own}
    return replace(settings, **defaults)


def _quote(text: str) -> str:
    """A value as `.env` reads it back: in quotes when it is more than a plain word."""
    if re.fullmatch(r"[A-Za-z0-9_.,:/@%+-]+", text):
        return text
    return "'" + text.replace("\\", "\\\\").replace("'", "\\'") + "'"


def check_texts(texts: Mapping[str, str], secrets: Mapping[str, str]) -> Iterator[Finding]:
    """A finding for each secret that stands in a file that would be packed, and for an address with a login."""
    for path, text in texts.items():
        for name, value in secrets.items():
            if len(value) >= MIN_SECRET_CHARACTERS and value in text:
                yield Finding(path, f"contains the value of {name}", f"name {name} there instead of its value")
        if found := _LOGIN.search(text):
            message = f"contains an address with a login, on {found['host']}"
            yield Finding(path, message, "take it out; a provider's headers may name a variable of .env instead")


def check_compose(name: str, text: str) -> Iterator[Finding]:
    """A finding for each element of a Compose project that cannot work without a network."""
    project = parse_yaml(text, name).value
    if not isinstance(project, Mapping):
        return
    if "models" in project:
        yield Finding(name, "has a 'models' element, which pulls models whatever pull_policy says", "remove it")
    for service, body in dict(project.get("services") or {}).items():
        if "build" in body and "image" not in body:
            yield Finding(f"{name}: {service}", "is built where it starts and names no image", "give it an image name")
