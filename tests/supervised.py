"""Rendered supervisor configuration as supervisor itself reads it, and as a started process sees it."""

from __future__ import annotations

import json
import os
import shlex
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from supervisor.options import ServerOptions

# Stands for a service's program: prints its arguments and its environment.
_MIRROR = f"""#!{sys.executable} -IS
import json, os, sys
print(json.dumps([sys.argv[1:], dict(os.environ)]))
"""


@dataclass(frozen=True, slots=True)
class Started:
    """What one supervised program got; ``arguments`` are those after the program itself."""

    arguments: tuple[str, ...]
    environment: dict[str, str]


def make_mirror(folder: Path) -> Path:
    """A program that tells what it was started with, at ``bin/python`` as in a virtual environment."""
    program = folder / "bin" / "python"
    program.parent.mkdir(parents=True, exist_ok=True)
    program.write_text(_MIRROR)
    program.chmod(0o755)
    return program


def start_programs(config: Path) -> dict[str, Started]:
    """Start each program of a configuration as supervisor would and collect what it got.

    The supervisor's own environment is left out, so that everything comes from the configuration.
    """
    options = ServerOptions()
    options.realize(["-c", str(config)])
    found = {}
    for group in options.process_group_configs:
        (program,) = group.process_configs
        argv = shlex.split(program.command)  # supervisor/process.py reads it so
        environment = {"PATH": os.environ["PATH"], **program.environment}
        done = subprocess.run(argv, env=environment, capture_output=True, text=True, check=True)
        arguments, seen = json.loads(done.stdout)
        found[program.name] = Started(tuple(arguments), seen)
    return found
