"""What is left of exceptions that nothing catches, of warnings, and of a process that is killed by a signal."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest

from tests.fakes import CHECKOUT

CANARY = "planted-canary-5d02"
_BEGIN = """
import asyncio, logging, os, resource, sys, threading, warnings
from gateway.observe.crashes import guard_crashes
from gateway.observe.logs import configure_logging
configure_logging(True)
guard_crashes()
canary = os.environ["CANARY"]
class Broken:
    def __del__(self):
        raise ValueError(canary)
async def forget():
    asyncio.get_running_loop().create_task(fail())
    await asyncio.sleep(0)
    await asyncio.sleep(0)
async def fail():
    raise ValueError(canary)
def raise_it():
    raise ValueError(canary)
"""
_CRASHES = {
    "nothing caught it": ("raise_it()", 1, "builtins.ValueError"),
    "in a thread": ("t = threading.Thread(target=raise_it); t.start(); t.join()", 0, "builtins.ValueError"),
    "while something is deleted": ("Broken()", 0, "builtins.ValueError"),
    "in a task that nobody waits for": ("asyncio.run(forget())", 0, "builtins.ValueError"),
    "a warning": ("warnings.warn(canary)", 0, "message withheld"),
    "a record that cannot be written": ("logging.getLogger('gateway').error('%d', canary)", 0, "message withheld"),
}


@pytest.mark.parametrize("name", _CRASHES)
def test_a_crash_says_where_and_not_what(name: str) -> None:
    code, status, expected = _CRASHES[name]
    done = run(_BEGIN + code)
    assert done.returncode == status
    assert expected in done.stderr
    assert [json.loads(line)["level"] for line in done.stderr.splitlines()] != []
    assert CANARY not in done.stdout + done.stderr


def test_no_core_is_written() -> None:
    """1 byte: less than any core, and where Linux leaves out the programs that cores are piped to."""
    done = run(_BEGIN + "print(resource.getrlimit(resource.RLIMIT_CORE))")
    assert done.stdout.strip() in ("(1, 1)", "(0, 0)")


def run(code: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONPATH": str(CHECKOUT / "services" / "api-gateway"), "CANARY": CANARY}
    argv = [sys.executable, "-c", code]
    return subprocess.run(argv, env=environment, capture_output=True, text=True, check=False)
