"""What the tests' registry serves, and the logins that Docker has for it."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from stackctl.core.images.oci import Platform
from tests.fake_registry import FakeRegistry

AMD64 = Platform("linux", "amd64")
LAYER = b"".join(number.to_bytes(4, "big") for number in range(800_000))
BASIC = "Basic " + base64.b64encode(b"ann:a secret").decode()

Serve = Callable[..., FakeRegistry]


def save_config(folder: Path, **config: Any) -> None:
    (folder / "config.json").write_text(json.dumps(config), encoding="utf-8")


def save_login(folder: Path, host: str) -> None:
    save_config(folder, auths={host: {"auth": BASIC.removeprefix("Basic ")}})


def save_helper(folder: Path, name: str, script: str) -> None:
    program = folder / f"docker-credential-{name}"
    program.write_text(f"#!/bin/sh\n{script}\n", encoding="utf-8")
    program.chmod(0o755)
