"""Prometheus' configuration. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import yaml

# Alerts wait for minutes, and a dashboard's finest step is twice this.
INTERVAL_S = 15
# What Prometheus takes for patterns in the paths of rules.
_GLOB = re.compile(r"([\\*?\[])")


@dataclass(frozen=True, slots=True)
class Scraping:
    """What Prometheus asks, and where it finds its files.

    Attributes:
        stack: the stack's name, which alerts that leave this machine carry.
        gateway: host and port of the gateway.
        key_file: path of the file with the admin key.
        rules_file: path of the alert rules.
        others: host and port of what else is asked, by its job's name.
    """

    stack: str
    gateway: str
    key_file: str
    rules_file: str
    others: Mapping[str, str]


def render_prometheus(scraping: Scraping, interval_s: int = INTERVAL_S) -> str:
    """The configuration as YAML; paths and names of any content survive."""
    gateway: dict[str, Any] = {
        "job_name": "gateway",
        "authorization": {"type": "Bearer", "credentials_file": scraping.key_file},
        "static_configs": [{"targets": [scraping.gateway]}],
    }
    others = [{"job_name": name, "static_configs": [{"targets": [place]}]} for name, place in scraping.others.items()]
    document = {
        "global": {
            "scrape_interval": f"{interval_s}s",
            "evaluation_interval": f"{interval_s}s",
            # A page with hundreds of keys is made within milliseconds; what hangs is down.
            "scrape_timeout": f"{min(interval_s, 10)}s",
            "external_labels": {"stack": scraping.stack},
        },
        "rule_files": [_GLOB.sub(r"\\\1", scraping.rules_file)],
        "scrape_configs": [gateway, *others],
    }
    return yaml.safe_dump(document, sort_keys=False, width=1000)
