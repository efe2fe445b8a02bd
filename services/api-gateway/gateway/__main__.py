"""Start the gateway from environment variables alone: ``python -m gateway``.

Does I/O: reads the configuration, takes the port, runs until a signal arrives. Exit status: 0 stopped by a signal,
3 a setting or the configuration is wrong, 4 the state cannot be used, 5 the port cannot be taken.
"""

from __future__ import annotations

import os
import shutil
import socket
import ssl
import sys
import tempfile
from pathlib import Path

from gateway.catalog.parse import parse_catalog
from gateway.catalog.values import Catalog
from gateway.proxies import bypass_proxies
from gateway.settings import METRICS_FOLDER_VARIABLE, Settings, SettingsError, check_references, parse_settings

CONFIGURATION_WRONG = 3
STATE_UNUSABLE = 4
PORT_TAKEN = 5


def main() -> int:
    """Check everything that can be checked in milliseconds, then serve."""
    try:
        settings = parse_settings(os.environ)
        catalog = read_catalog(settings.config_path)
    except SettingsError as error:
        print(f"error: {error}", file=sys.stderr)
        return CONFIGURATION_WRONG
    if settings.workers == 1:
        return listen(settings, catalog)
    # prometheus_client looks for it once, when it is imported, which the server's module does.
    folder = tempfile.mkdtemp(prefix="gateway-metrics-")
    os.environ[METRICS_FOLDER_VARIABLE] = folder
    try:
        return listen(settings, catalog)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def read_catalog(path: str) -> Catalog:
    """The catalogue of the configuration at this path. Reads the file.

    Raises:
        SettingsError: the file cannot be read, is no such configuration, or names variables that are unset.
    """
    try:
        text = Path(path).read_text(encoding="utf-8")
        check_references(text, os.environ)
        catalog = parse_catalog(text, os.environ)
    except OSError as error:
        raise SettingsError(f"GATEWAY_CONFIG is {path!r}, which cannot be read: {error.strerror}") from error
    except ValueError as error:
        raise SettingsError(f"GATEWAY_CONFIG is {path!r}, which is not usable: {error}") from error
    return catalog


def listen(settings: Settings, catalog: Catalog) -> int:
    """Take the port, then ``run``; returns the exit status."""
    from gateway.edge.server import bind, stop_on_signals

    stop_on_signals()
    try:
        listener = bind(settings)
    except OSError as error:
        place = f"{settings.host}:{settings.port}"
        print(f"error: cannot listen on {place}: {error.strerror}; change GATEWAY_PORT", file=sys.stderr)
        return PORT_TAKEN
    return run(settings, catalog, listener)


def run(settings: Settings, catalog: Catalog, listener: socket.socket) -> int:
    """Serve until a signal arrives; returns the exit status."""
    from gateway.cache.start import prepare_cache
    from gateway.edge.plan import GatePlan
    from gateway.edge.server import serve
    from gateway.formats.translations import load_dialect, needs_dialect
    from gateway.lanes.pooled import load_trust
    from gateway.observe.content import apply_setting
    from gateway.observe.crashes import guard_crashes
    from gateway.observe.logs import configure_logging
    from gateway.state.connection import StateError
    from gateway.state.start import prepare_state

    try:
        trust = load_trust(settings.ca_bundle)
    except (OSError, ssl.SSLError) as error:
        print(f"error: GATEWAY_CA_BUNDLE is {settings.ca_bundle!r}, which cannot be used: {error}", file=sys.stderr)
        return CONFIGURATION_WRONG
    configure_logging(settings.is_verbose)
    guard_crashes()
    os.environ.update(bypass_proxies(os.environ, settings.direct_hosts))
    if needs_dialect(catalog.formats) and any(target.provider.speaks_anthropic for target in catalog.targets):
        load_dialect()  # before the first request, and before workers are forked, which then share it

    try:
        state = prepare_state(settings)
    except StateError as error:
        print(f"error: {error}", file=sys.stderr)
        return STATE_UNUSABLE

    apply_setting(state, Path(settings.state.path), settings.log_prompts)
    plan = GatePlan(settings, catalog, trust, state, prepare_cache(settings, catalog))
    return serve(plan.build_gate, settings, listener, catalog.queue_length)


if __name__ == "__main__":
    sys.exit(main())
