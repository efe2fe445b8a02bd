"""What the gateway's log says more with GATEWAY_LOG_LEVEL=debug, and what it still does not."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest

from tests.fakes import CHECKOUT

_LOGS = """
import logging, sys
from gateway.observe.logs import configure_logging
configure_logging(sys.argv[1] == "debug")
for name in ("gateway.route", "uvicorn.error", "LiteLLM"):
    for level in (logging.DEBUG, logging.INFO):
        logging.getLogger(name).log(level, "%s %d", name, level)
"""


@pytest.mark.parametrize(
    ("level", "expected"),
    [
        ("info", ["gateway.route 20", "uvicorn.error 20"]),
        ("debug", ["gateway.route 10", "gateway.route 20", "uvicorn.error 20"]),
    ],
)
def test_a_verbose_log_says_more_of_ours_and_nothing_more_of_others(level: str, expected: list[str]) -> None:
    """In a process of its own: it changes all loggers."""
    environment = {**os.environ, "PYTHONPATH": str(CHECKOUT / "services" / "api-gateway")}
    argv = [sys.executable, "-c", _LOGS, level]
    done = subprocess.run(argv, env=environment, capture_output=True, text=True, check=True)
    assert [json.loads(line)["message"] for line in done.stderr.splitlines()] == expected
