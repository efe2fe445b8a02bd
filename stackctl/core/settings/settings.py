"""Settings of this machine: the home of each one's default, type, bounds, unit and help.

Pure. The class is built up from four, by what they are about. `.env.example`, the reference page and ``stackctl
config`` are made from it; sources.py resolves its values.
"""

from __future__ import annotations

from dataclasses import Field, dataclass, fields
from typing import Any

from stackctl.core.settings.declare import declare
from stackctl.core.settings.service_settings import ServiceSettings
from stackctl.core.text.printable import hide_user

_USER = r"[1-9][0-9]*:[1-9][0-9]*"


@dataclass(frozen=True, slots=True)
class Settings(ServiceSettings):
    """Resolved settings; a field's name in upper case is the setting's name in `.env`."""

    redis_password: str = declare(
        "",
        "Password of the app redis, generated where STACK_APPS names it.",
        group="Apps",
        secret=True,
        generated=True,
        pattern=r"[A-Za-z0-9_.~-]+",
        expected="letters, digits, '_', '.', '~' and '-'",
        app="redis",
    )
    redis_port: int = declare(
        16379, "Port of the app redis, on loopback only.", group="Apps", bounds=(1, 65_535), unit="port", app="redis"
    )
    redis_image: str = declare(
        "docker.io/library/redis:7.2-bookworm", "Image of the app redis.", group="Apps", app="redis"
    )
    postgres_password: str = declare(
        "",
        "Password of the app postgres, generated where STACK_APPS names it.",
        group="Apps",
        secret=True,
        generated=True,
        pattern=r"[A-Za-z0-9_.~-]+",
        expected="letters, digits, '_', '.', '~' and '-'",
        app="postgres",
    )
    postgres_port: int = declare(
        15432,
        "Port of the app postgres, on loopback only.",
        group="Apps",
        bounds=(1, 65_535),
        unit="port",
        app="postgres",
    )
    postgres_image: str = declare(
        "docker.io/library/postgres:15-bookworm", "Image of the app postgres.", group="Apps", app="postgres"
    )
    prometheus_port: int = declare(
        19090,
        "Port of Prometheus, on loopback only.",
        group="Apps",
        bounds=(1, 65_535),
        unit="port",
        app="observability",
    )
    prometheus_days: int = declare(
        30, "How long Prometheus keeps what it saw.", group="Apps", bounds=(1, 3650), unit="days", app="observability"
    )
    prometheus_image: str = declare(
        "docker.io/prom/prometheus:v2.55.1", "Image of Prometheus.", group="Apps", app="observability"
    )
    gpu_metrics_port: int = declare(
        19091,
        "Port at which Prometheus learns of the GPUs, on loopback only.",
        group="Apps",
        bounds=(1, 65_535),
        unit="port",
        app="observability",
    )
    alert_first_token_s: int = declare(
        10,
        "Alert when 5 of 100 answers of a model begin later than this.",
        group="Apps",
        bounds=(1, 600),
        unit="seconds",
        app="observability",
    )
    grafana_password: str = declare(
        "",
        "Password of Grafana's user admin, generated where STACK_APPS names observability.",
        group="Apps",
        secret=True,
        generated=True,
        app="observability",
    )
    grafana_port: int = declare(
        13000,
        "Port of Grafana, on loopback only.",
        group="Apps",
        bounds=(1, 65_535),
        unit="port",
        app="observability",
    )
    grafana_image: str = declare(
        "docker.io/grafana/grafana:11.3.0", "Image of Grafana.", group="Apps", app="observability"
    )

    lan_names: str = declare(
        "",
        "Names and addresses by which other machines reach this one, separated by commas; 'stackctl lan enable' writes"
        " them.",
        group="Apps",
        pattern=r"[A-Za-z0-9.:-]+(,[A-Za-z0-9.:-]+)*",
        expected="a list such as gpu.example,192.168.1.20",
        app="lan",
    )
    lan_port: int = declare(
        8443, "Port of the gateway by TLS.", group="Apps", bounds=(1, 65_535), unit="port", app="lan"
    )
    lan_address: str = declare(
        "0.0.0.0",  # noqa: S104  # for whoever asks for the app
        "Address of this machine on which the gateway is reached by TLS; 0.0.0.0 is every one.",
        group="Apps",
        pattern=r"[0-9a-fA-F:.]+",
        expected="an IP address",
        app="lan",
    )
    lan_certificate: str = declare(
        "",
        "PEM file of the company's certificate for LAN_NAMES, its issuers after it; empty takes an authority of"
        " the site's own.",
        group="Apps",
        app="lan",
    )
    lan_certificate_key: str = declare("", "PEM file of that certificate's private key.", group="Apps", app="lan")
    caddy_image: str = declare("docker.io/library/caddy:2.11.7", "Image of the app lan.", group="Apps", app="lan")

    bundle_public_key: str = declare(
        "", "Public key that bundles must be signed with: its file, or its line.", group="Bundles"
    )

    base_image: str = declare(
        "docker.io/library/python:3.11.14-slim-bookworm", "Python image that our Dockerfiles build on.", group="Build"
    )
    build_base_image: str = declare(
        "docker.io/library/python:3.11.14-bookworm",
        "Image with a C++ compiler in which llama-cpp-python is built.",
        group="Build",
    )
    build_ca_bundle: str = declare(
        "", "PEM file of the company's certificate authority, given to builds as a secret.", group="Build"
    )
    pip_index_url: str = declare(
        "",
        "Package index mirror for image builds and environments; empty takes pip's own.",
        group="Build",
        private=True,
    )
    selinux_relabel: bool = declare(
        False,
        "Give model files the SELinux label that containers may read (bind.selinux: z); for hosts that enforce it.",
        group="Build",
    )
    container_user: str = declare(
        "10001:10001",
        "User and group that containers run as; never root.",
        group="Build",
        pattern=_USER,
        expected="UID:GID, neither of them 0",
    )


def list_settings() -> tuple[Field[Any], ...]:
    """Every setting as its dataclass field, in the order of the class."""
    return fields(Settings)


def setting_names() -> tuple[str, ...]:
    """Every setting's name as it stands in `.env`."""
    return tuple(item.name.upper() for item in fields(Settings))


def is_generated(item: Field[Any], apps: str) -> bool:
    """Whether a site needs a value of this setting that we make for it.

    Args:
        apps: value of STACK_APPS.
    """
    app = item.metadata["app"]
    return bool(item.metadata["generated"]) and (not app or app in split_names(apps))


def split_names(text: str) -> list[str]:
    """Names that are separated by commas."""
    return [name.strip() for name in text.split(",") if name.strip()]


def default_value(name: str) -> Any:
    """The default of the setting of this name."""
    return next(item.default for item in fields(Settings) if item.name.upper() == name)


def list_secrets() -> frozenset[str]:
    """Names of the settings that must never be printed."""
    return frozenset(item.name.upper() for item in fields(Settings) if item.metadata["secret"])


def mask_value(item: Field[Any], value: Any) -> str:
    """The value as text, a secret as its length only."""
    text = str(value).lower() if isinstance(value, bool) else str(value)
    return f"(secret, {len(text)} characters)" if item.metadata["secret"] and text else hide_user(text)
