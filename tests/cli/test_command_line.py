"""What every command has in common: help, wrong words, JSON, and a bug that is told as one."""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path

import pytest

from stackctl import __version__
from stackctl.cli.main import COMMANDS
from tests.cli.conftest import Command
from tests.fakes import CHECKOUT


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_explains_itself(stackctl: Command, command: str) -> None:
    done = stackctl(command, "--help")
    assert done.code == 0
    assert done.out.startswith(f"Usage: stackctl {command}")
    for option in re.findall(r"^  (?:-\w, )?--[\w-]+.*(?:\n {5,}.*)*", done.out, re.MULTILINE):
        assert re.search(r" {2,}\S|\n {5,}\S", option), f"{option} says nothing"


def test_help_lists_every_command_with_its_words(stackctl: Command) -> None:
    done = stackctl("--help")
    assert done.code == 0
    for name, words in COMMANDS.items():
        assert re.search(rf"^  {name} +{re.escape(words[:20])}", done.out, re.MULTILINE)


def test_the_version_is_the_packages(stackctl: Command) -> None:
    assert stackctl("--version").out == f"stackctl, version {__version__}\n"


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["helth"], "No such command 'helth'; did you mean 'health'?"),
        (["nonsense"], "No such command 'nonsense'."),
        (["up", "--runtime", "podman"], "'auto', 'compose', 'process'"),
        (["up", "--wait-timeout", "-1"], "--wait-timeout"),
        (["up", "--nonsense"], "--nonsense"),
        (["chat"], "MESSAGE"),
        (["logs", "-n", "many"], "many"),
    ],
)
def test_a_wrong_command_line_is_exit_code_2(stackctl: Command, arguments: list[str], words: str) -> None:
    done = stackctl(*arguments)
    assert done.code == 2
    assert words in done.err
    assert done.out == ""


@pytest.mark.parametrize("command", ["status", "models", "config", "doctor"])
def test_json_output_is_json_and_nothing_else(stackctl: Command, site: Path, command: str) -> None:
    done = stackctl(command, "--json")
    assert done.code in (0, 6)
    assert json.loads(done.out)


def test_a_bug_is_exit_code_1_and_shows_its_traceback_on_demand(
    stackctl: Command, site: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import stackctl.operations.site.load_settings as operation

    def fail(effects: object) -> None:
        raise ZeroDivisionError("planned")

    monkeypatch.setattr(operation, "load_settings", fail)
    done = stackctl("config")
    assert done.code == 1
    assert "this is a bug: ZeroDivisionError: planned" in done.err
    assert "next:  run it again as 'stackctl --debug COMMAND'" in done.err
    monkeypatch.setattr(sys, "argv", ["stackctl", "--debug", "config"])
    from stackctl.cli.main import main

    with pytest.raises(ZeroDivisionError):
        main()


def test_the_readme_lists_every_make_target() -> None:
    targets = re.findall(r"^([a-z0-9-]+):.*## ", (CHECKOUT / "Makefile").read_text(), re.MULTILINE)
    assert {"setup", "up-p1", "down", "status", "health", "logs", "test", "check", "bench", "render"} <= set(targets)
    readme = (CHECKOUT / "README.md").read_text()
    assert [name for name in targets if name != "help" and not re.search(rf"(make |`){name}`", readme)] == []
