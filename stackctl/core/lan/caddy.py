"""Caddy's configuration: TLS in front of the gateway, and nothing else that Caddy could do. Pure.

JSON, which Caddy takes as it is. It issues the server's certificates itself from the site's authority, and renews them
while it serves; or it shows the company's. It asks nobody outside, and installs no certificate on this machine.

Source: Caddy's JSON structure, tried with 2.6.2 and 2.11.7.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

# Renewed when a third is left. Apple's systems refuse servers' certificates of more than 825 days.
LEAF_LIFETIME = "2160h"
# Routes for whoever administers the stack, who does so on its machine.
CLOSED_PATHS = ("/admin", "/metrics")
# The authority that Caddy would otherwise make, and bring into this machine's trust store, has this name.
_AUTHORITY = "local"
# Shorter than the gateway keeps a connection that nobody uses, or a request would meet one that it closes.
_IDLE_UPSTREAM = "60s"


@dataclass(frozen=True, slots=True)
class Front:
    """What stands in front of the gateway.

    Attributes:
        names: host names and addresses that it answers to.
        default_name: the one that it shows a certificate of to clients that name none, as for an address.
        listen: address and port, as ``0.0.0.0:8443``.
        gateway: host and port of the gateway.
        chain, key: paths of the pair: the company's certificate, or the site's authority.
        is_company: which of both.
        mark: changes with the company's certificate, so that a new one is a new configuration.
        storage: path of the folder of the certificates that it issues.
        probe: address and port for a health check without TLS, which others cannot reach; empty for none.
    """

    names: Sequence[str]
    default_name: str
    listen: str
    gateway: str
    chain: str
    key: str
    is_company: bool
    mark: str
    storage: str
    probe: str = ""


def render_caddy(front: Front) -> str:
    """The whole configuration."""
    config = {
        "admin": {"disabled": True, "config": {"persist": False}},
        "logging": {"logs": {"default": _build_log()}},
        "storage": {"module": "file_system", "root": front.storage},
        "apps": {"tls": _build_tls(front), "http": {"servers": _build_servers(front)}, **_build_authorities(front)},
    }
    return json.dumps(config, indent=2) + "\n"


def _build_log() -> dict[str, Any]:
    """Warnings without the request they are about: its headers hold keys, of which Caddy knows some names only."""
    encoder = {"format": "filter", "wrap": {"format": "json"}, "fields": {"request": {"filter": "delete"}}}
    return {"level": "WARN", "encoder": encoder}


def _build_authorities(front: Front) -> dict[str, Any]:
    if front.is_company:
        return {}
    pair = {"certificate": front.chain, "private_key": front.key, "format": "pem_file"}
    return {
        "pki": {"certificate_authorities": {_AUTHORITY: {"install_trust": False, "root": pair, "intermediate": pair}}}
    }


def _build_tls(front: Front) -> dict[str, Any]:
    if front.is_company:
        file = {"certificate": front.chain, "key": front.key, "format": "pem", "tags": [front.mark]}
        return {"disable_ocsp_stapling": True, "certificates": {"load_files": [file]}}
    issuer = {"module": "internal", "ca": _AUTHORITY, "lifetime": LEAF_LIFETIME}
    return {
        "disable_ocsp_stapling": True,
        "certificates": {"automate": list(front.names)},
        "automation": {"policies": [{"issuers": [issuer]}]},
    }


def _build_servers(front: Front) -> dict[str, Any]:
    common = {"automatic_https": {"disable": True}, "read_header_timeout": "10s"}
    lan = {
        "listen": [front.listen],
        "protocols": ["h1", "h2"],
        "tls_connection_policies": [{"default_sni": front.default_name}],
        "routes": [
            {"match": [{"path": list(CLOSED_PATHS)}], "handle": [_refuse(404, "not_found")], "terminal": True},
            {"match": [{"host": list(front.names)}], "handle": [_pass_on(front)], "terminal": True},
            {"handle": [_refuse(421, "misdirected_request")]},
        ],
        "errors": {"routes": [{"handle": [_refuse(502, "gateway_unreachable")]}]},
        **common,
    }
    if not front.probe:
        return {"lan": lan}
    probe = {"listen": [front.probe], "protocols": ["h1"], "routes": [{"handle": [_pass_on(front)]}], **common}
    return {"lan": lan, "probe": probe}


def _pass_on(front: Front) -> dict[str, Any]:
    return {
        "handler": "reverse_proxy",
        "upstreams": [{"dial": front.gateway}],
        # Every piece of a stream at once.
        "flush_interval": -1,
        "transport": {"protocol": "http", "versions": ["1.1"], "keep_alive": {"idle_timeout": _IDLE_UPSTREAM}},
    }


_WORDS = {
    404: "There is no such path here.",
    421: "This server does not answer to that name.",
    502: "The gateway does not answer.",
}


def _refuse(status: int, code: str) -> dict[str, Any]:
    """An answer in the form of OpenAI's errors, which Anthropic's clients read too."""
    error = {"message": _WORDS[status], "type": "api_error" if status >= 500 else "invalid_request_error", "code": code}
    return {
        "handler": "static_response",
        "status_code": status,
        "headers": {"Content-Type": ["application/json"]},
        "body": json.dumps({"type": "error", "error": error}),
    }
