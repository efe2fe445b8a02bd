"""Start the gateway from environment variables alone: ``python -m gateway``.

Does I/O: reads the configuration, takes the port, runs until a signal arrives. Exit status: 0 stopped by a signal,
3 a setting or the configuration is wrong, 5 the port cannot be taken.
"""

from __future__ import annotations

import os
import shutil
import socket
import sys
import tempfile
from pathlib import Path

from gateway.catalog import Catalog, parse_catalog
from gateway.settings import METRICS_FOLDER_VARIABLE, Settings, SettingsError, check_references, parse_settings

CONFIGURATION_WRONG = 3
PORT_TAKEN = 5


def main() -> int:
    """Check everything that can be checked in milliseconds, then load LiteLLM and serve."""
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
    """The models of the LiteLLM configuration at this path. Reads the file.

    Raises:
        SettingsError: the file cannot be read, is no LiteLLM configuration, or names variables that are unset.
    """
    try:
        text = Path(path).read_text(encoding="utf-8")
        catalog = parse_catalog(text)
    except OSError as error:
        raise SettingsError(f"GATEWAY_CONFIG is {path!r}, which cannot be read: {error.strerror}") from error
    except ValueError as error:
        raise SettingsError(f"GATEWAY_CONFIG is {path!r}, which is not usable: {error}") from error
    check_references(text, os.environ)
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
    """Load LiteLLM behind the gate and serve until a signal arrives; returns the exit status."""
    from gateway.litellm_app import find_missing_models, load_app
    from gateway.observe.logs import adopt_loggers, configure_logging

    configure_logging(settings.log_prompts)
    app = load_app(settings)
    adopt_loggers()
    from gateway.edge.gate import Gate
    from gateway.edge.server import serve

    def check_start() -> list[str]:
        adopt_loggers()
        return find_missing_models(frozenset(catalog))

    return serve(Gate(app, settings, catalog, check_start), settings, listener)


if __name__ == "__main__":
    sys.exit(main())
