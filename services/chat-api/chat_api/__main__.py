"""Start the chat API from environment variables alone: ``python -m chat_api``.

Does I/O: takes the port, runs until a signal arrives. Exit status: 0 stopped by a signal, 3 a setting is wrong, 4 the
sessions cannot be used, 5 the port cannot be taken.
"""

from __future__ import annotations

import os
import sys

from chat_api.config.settings import Settings, SettingsError, parse_settings

CONFIGURATION_WRONG, SESSIONS_UNUSABLE, PORT_TAKEN = 3, 4, 5


def main() -> int:
    """Check everything that can be checked in milliseconds, then serve."""
    try:
        settings = parse_settings(os.environ)
    except SettingsError as error:
        return _fail(str(error), CONFIGURATION_WRONG)
    return run(settings)


def run(settings: Settings) -> int:
    """Take the port and serve until a signal arrives; returns the exit status."""
    from chat_api.api.application import build_application
    from chat_api.api.parts import build_parts
    from chat_api.api.server import bind, serve, stop_on_signals
    from chat_api.store.schema import StoreError
    from chat_api.telemetry.logs import configure_logging

    stop_on_signals()
    try:
        listener = bind(settings)
    except OSError as error:
        seen = f"cannot listen on {settings.host}:{settings.port}: {error.strerror}"
        return _fail(f"{seen}; change CHAT_API_PORT", PORT_TAKEN)
    try:
        configure_logging(settings.log_level, settings.log_file)
    except OSError as error:
        return _fail(f"CHAT_API_LOG_FILE is {settings.log_file!r}, which cannot be written: {error.strerror}", 3)
    try:
        parts = build_parts(settings)
    except StoreError as error:
        return _fail(f"{error}; see CHAT_API_FOLDER and CHAT_API_DATABASE_URL", SESSIONS_UNUSABLE)
    except OSError as error:  # what TLS says is one, too
        return _fail(f"CHAT_API_CA_BUNDLE is {settings.ca_bundle!r}, which cannot be used: {error}", 3)
    return serve(build_application(parts), listener)


def _fail(text: str, status: int) -> int:
    print(f"error: {text}", file=sys.stderr)
    return status


if __name__ == "__main__":
    sys.exit(main())
