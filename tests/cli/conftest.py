"""The command line in this process, as ``main`` runs it, on a fresh site."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from stackctl.cli.main import main
from stackctl.core.dotenv import set_values
from stackctl.core.settings import setting_names
from tests.integration.stack_site import find_free_ports


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a command ended with and printed."""

    code: int
    out: str
    err: str

    def read_json(self) -> Any:
        return json.loads(self.out)


Command = Callable[..., Outcome]


@pytest.fixture
def stackctl(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Command:
    """Run one command line; no setting of the shell that runs the tests is seen."""
    for name in setting_names():
        monkeypatch.delenv(name, raising=False)

    def run(*arguments: object) -> Outcome:
        monkeypatch.setattr(sys, "argv", ["stackctl", *map(str, arguments)])
        capsys.readouterr()
        with pytest.raises(SystemExit) as ended:
            main()
        printed = capsys.readouterr()
        code = ended.value.code
        return Outcome(code if isinstance(code, int) else 0 if code is None else 1, printed.out, printed.err)

    return run


@pytest.fixture
def site(stackctl: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder made by ``stackctl init``, and the current one."""
    folder = tmp_path / "a site"
    assert stackctl("init", folder).code == 0
    set_free_ports(folder)
    monkeypatch.chdir(folder)
    return folder


def set_free_ports(site: Path) -> None:
    """Give a site ports that no other stack of this machine holds."""
    gateway, engines = find_free_ports()[:2]
    env = site / ".env"
    env.write_text(set_values(env.read_text(), {"API_GATEWAY_PORT": str(gateway), "INFERENCE_PORT": str(engines)}))
