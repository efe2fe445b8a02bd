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
from stackctl.core.settings.dotenv import set_values
from stackctl.core.settings.settings import setting_names
from tests.ports import claim_ports


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
def stackctl(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> Command:
    """Run one command line; no setting of the shell that runs the tests is seen, and no site of another test."""
    for name in (*setting_names(), "COLUMNS"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))

    def run(*arguments: object) -> Outcome:
        monkeypatch.setattr(sys, "argv", ["stackctl", *map(str, arguments)])
        capsys.readouterr()
        with pytest.raises(SystemExit) as ended:
            main()
        printed = capsys.readouterr()
        code = ended.value.code
        return Outcome(code if isinstance(code, int) else 0 if code is None else 1, printed.out, printed.err)

    return run


def use_free_ports(site: Path) -> tuple[int, int]:
    """Write free ports into a site's ``.env``: the gateway's, and the engines' first."""
    gateway, engines, *_ = claim_ports()
    text = (site / ".env").read_text(encoding="utf-8")
    (site / ".env").write_text(set_values(text, {"API_GATEWAY_PORT": str(gateway), "INFERENCE_PORT": str(engines)}))
    return gateway, engines


@pytest.fixture
def site(stackctl: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder made by ``stackctl init``, on ports that nobody uses, and the current one."""
    folder = tmp_path / "a site"
    assert stackctl("init", folder).code == 0
    use_free_ports(folder)
    monkeypatch.chdir(folder)
    return folder
