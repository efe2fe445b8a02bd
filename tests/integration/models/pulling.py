"""A site that pulls models from a hub on this machine, as programs of their own."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np

from stackctl.core.settings.settings import Settings
from tests.gguf_files import write_model
from tests.integration.hub_server import Hub
from tests.waiting import wait_for

REPOSITORY = Path(__file__).parents[3]
DEADLINE_S = 120.0
REFERENCE = "Acme/Tiny-GGUF/tiny.gguf"
MIB = 1 << 20


def write_random_model(path: Path, size_mib: int, seed: int = 1) -> bytes:
    """A model of about this size whose weights do not compress and do not repeat."""
    weights = np.random.default_rng(seed).integers(0, 255, (size_mib * 1024, 1024), np.uint8).view(np.int8)
    write_model(path, extra=lambda writer: writer.add_tensor("noise", weights))
    return path.read_bytes()


@dataclass(frozen=True)
class Done:
    code: int
    out: str
    err: str

    @property
    def text(self) -> str:
        return self.out + self.err


@dataclass
class PullSite:
    """A site that pulls from the test's hub."""

    folder: Path
    hub: Hub

    @property
    def models(self) -> Path:
        return self.folder / "models"

    def environment(self, **changes: str) -> dict[str, str]:
        names = {item.name.upper() for item in fields(Settings)} | {"HTTP_PROXY", "ALL_PROXY", "NO_PROXY"}
        kept = {name: value for name, value in os.environ.items() if name.upper() not in names}
        return {**kept, "PYTHONPATH": str(REPOSITORY), "HF_ENDPOINT": self.hub.endpoint, **changes}

    def start(self, *arguments: str, **changes: str) -> subprocess.Popen[str]:
        argv = [sys.executable, "-m", "stackctl", "--site", str(self.folder), "models", *arguments]
        return subprocess.Popen(
            argv, env=self.environment(**changes), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )

    def run(self, *arguments: str, **changes: str) -> Done:
        process = self.start(*arguments, **changes)
        out, err = process.communicate(timeout=DEADLINE_S)
        assert "Traceback" not in err
        return Done(process.returncode, out, err)

    def list_visible(self) -> set[str]:
        """What a person sees in the folder."""
        return {path.name for path in self.models.iterdir() if not path.name.startswith(".")} - {"README.txt"}

    def load_record(self, name: str = "tiny.gguf") -> Any:
        try:
            return json.loads((self.models / ".partial" / f"{name}.json").read_text())
        except FileNotFoundError:
            return None


def check_whole(site: PullSite, data: bytes, name: str = "tiny.gguf") -> None:
    """The model is there, with its record, and nothing unfinished is."""
    assert (site.models / name).read_bytes() == data
    line = (site.models / f"{name}.sha256").read_text().splitlines()[-1]
    assert line == f"{hashlib.sha256(data).hexdigest()}  {name}"
    assert not list((site.models / ".partial").glob("*.partial"))
    assert not list((site.models / ".partial").glob("*.json"))


def interrupt(site: PullSite, hub: Hub, reference: str) -> None:
    """Leave an unfinished download of 2 MiB behind."""
    hub.switches.cut_after, hub.switches.cuts = 2 * MIB, 1
    process = site.start("pull", reference)
    hub.switches.statuses = []
    wait_for(lambda: bool(site.load_record() and site.load_record()["durable_bytes"]), "what was downloaded is noted")
    process.kill()
    process.communicate()
    hub.requests.clear()
