"""Convert chat requests to Anthropic's format in the gateway's own environment: cases on stdin, results on stdout.

Run by tests with the gateway's interpreter; JSON in, JSON out.
"""

from __future__ import annotations

import json
import logging
import sys
import threading
from typing import Any

from gateway.errors import RefusedError
from gateway.formats import litellm_library
from gateway.formats.anthropic import AnthropicDialect


def convert(body: dict[str, Any]) -> dict[str, Any]:
    """What one body comes to."""
    dialect = AnthropicDialect()
    try:
        sent = dialect.build(body)
    except RefusedError as refused:
        return {"refused": [refused.error.status, refused.error.code, refused.error.param, refused.error.message]}
    except Exception as error:
        return {"failed": repr(error)}
    chunks = dialect.read_chunks()
    return {"sent": sent, "headers": dict(dialect.headers), "names": chunks._names, "json_tool": chunks._json_tool}


def main() -> None:
    """Read, convert, write."""
    logging.basicConfig(level=logging.DEBUG)
    threads_before = threading.active_count()
    parts = litellm_library.load()
    results = {
        "threads": threading.active_count() - threads_before,
        "parts": [parts.config.__name__, parts.names_key, parts.json_tool],
        "again": litellm_library.load() is parts,
        "converted": {name: convert(body) for name, body in json.load(sys.stdin).items()},
    }
    json.dump(results, sys.stdout)


if __name__ == "__main__":
    main()
