"""What pip is told on this machine about indexes and certificates, in uv's words.

In: the environment, and pip's files where pip is there. Out: variables for uv. Reads only; standard library only.
"""

from __future__ import annotations

import os
import subprocess
import sys


def find_installer_settings(index_url: str) -> dict[str, str]:
    """Variables for uv with what pip is told on this machine: uv reads neither pip's variables nor its files."""
    settings = {"UV_SYSTEM_CERTS": "true", "UV_NO_PROGRESS": "true", "UV_PYTHON_DOWNLOADS": "never"}
    configured = _load_pip_settings()
    url = index_url or configured.get("index-url", "")
    if url:
        settings["UV_DEFAULT_INDEX"] = url
    # A folder beside the index holds some of a version's files, and uv looks at one index for a version: it would
    # take a wheel for any platform from there and never see the one for this platform, as pip does.
    extra = [item for item in configured.get("extra-index-url", "").split() if not item.startswith("file:")]
    if extra:
        settings["UV_INDEX"] = " ".join(extra)
        # pip's own rule: the best version of any index. Hashes decide what is accepted, not where it came from.
        settings["UV_INDEX_STRATEGY"] = "unsafe-best-match"
    if configured.get("find-links"):
        settings["UV_FIND_LINKS"] = ",".join(configured["find-links"].split())
    if configured.get("cert"):
        settings["SSL_CERT_FILE"] = configured["cert"]
    if configured.get("trusted-host"):
        settings["UV_INSECURE_HOST"] = " ".join(configured["trusted-host"].split())
    if configured.get("no-index", "").lower() in ("1", "true", "yes", "on"):
        settings["UV_NO_INDEX"] = "true"
    # What the environment says of proxies, uv reads itself.
    if configured.get("proxy") and not {"https_proxy", "all_proxy"} & {name.lower() for name in os.environ}:
        settings["ALL_PROXY"] = configured["proxy"]
    return settings


def _load_pip_settings() -> dict[str, str]:
    """pip's own settings, from its variables and, where pip is there, its files; a setting's name to its value."""
    names = ("index-url", "extra-index-url", "find-links", "cert", "trusted-host", "no-index", "proxy")
    found: dict[str, str] = {}
    done = subprocess.run([sys.executable, "-m", "pip", "config", "list"], capture_output=True, text=True, check=False)
    for line in done.stdout.splitlines():
        key, _, value = line.partition("=")
        if key.split(".")[-1] in names:
            found[key.split(".")[-1]] = value.strip().strip("'\"")
    for name in names:
        text = os.environ.get(f"PIP_{name.upper().replace('-', '_')}")
        if text:
            found[name] = text
    return found
