"""Run a client as a person would: with a home of its own, and no key but the gateway's."""

from __future__ import annotations

import json
import shlex
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.clients.environment import find_path
from tests.integration.stack_site import STACKCTL, Site, clean_environment

TIMEOUT_S = 1500.0

Events = list[dict[str, Any]]


@dataclass(frozen=True)
class Printed:
    """What ``stackctl connect TOOL`` prints with the key in it.

    Attributes:
        variables: what it exports.
        text: its last part: lines of code, or of a file.
    """

    variables: Mapping[str, str]
    text: str


def run(
    site: Site, argv: Sequence[str], folder: Path, variables: Mapping[str, str], stdin: str = ""
) -> subprocess.CompletedProcess[str]:
    """Run a program in a folder that is its home too."""
    environment = {"PATH": find_path(), "HOME": str(folder), "STACK_KEY": site.keys["GATEWAY_KEY"], **variables}
    done = subprocess.run(
        argv,
        cwd=folder,
        env=environment,
        input=stdin,
        capture_output=True,
        text=True,
        timeout=TIMEOUT_S,
        check=False,
    )
    assert done.returncode == 0, f"{done.stdout[-2000:]}\n{done.stderr[-2000:]}"
    return done


def run_events(site: Site, argv: Sequence[str], folder: Path, variables: Mapping[str, str]) -> Events:
    """The same; the JSON lines of its output."""
    lines = run(site, argv, folder, variables).stdout.splitlines()
    return [json.loads(line) for line in lines if line.startswith("{")]


def run_connect(
    site: Site, home: Path, *arguments: str, stdin: str = "", **variables: str
) -> subprocess.CompletedProcess[str]:
    """Run ``stackctl connect`` as somebody with a home of their own."""
    done = subprocess.run(
        [*STACKCTL, "--site", str(site.path), "connect", *arguments],
        env=clean_environment(HOME=str(home), XDG_STATE_HOME=str(home / "state"), **variables),
        input=stdin,
        capture_output=True,
        text=True,
        timeout=TIMEOUT_S,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done


def connect(site: Site, tool: str, home: Path) -> None:
    """Write the tool's own file below a home of its own."""
    run_connect(site, home, tool, "--write")


def show(site: Site, tool: str) -> Printed:
    """What a person is shown."""
    return read_printed(site.run("connect", tool, "--json", "--reveal").stdout)


def read_printed(text: str) -> Printed:
    """What stands in the JSON of ``stackctl connect TOOL --json --reveal``."""
    parts = [part["text"] for part in json.loads(text)["parts"]]
    exports = [line for line in parts[0].splitlines() if line.startswith("export ")]
    variables = dict(shlex.split(line)[1].split("=", 1) for line in exports)
    return Printed(variables, parts[-1])


def link_packages(programs: Path, folder: Path) -> None:
    """Let a script in this folder import what is installed for Node."""
    (folder / "node_modules").symlink_to(programs.parent)


def set_up_llm(site: Site, llm: str, folder: Path, text: str) -> None:
    """Put what ``stackctl connect llm`` prints into llm's own folder, and give it the key, as its notes say."""
    place = Path(run(site, [llm, "logs", "path"], folder, {}).stdout.strip()).parent
    (place / "extra-openai-models.yaml").write_text(text, encoding="utf-8")
    run(site, [llm, "keys", "set", "stack"], folder, {}, stdin=site.keys["GATEWAY_KEY"] + "\n")
