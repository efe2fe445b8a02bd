"""Somebody who connects tools to a running stack. Does I/O: runs ``stackctl`` as a user would."""

from __future__ import annotations

import subprocess
from pathlib import Path

from tests.integration.stack_site import STACKCTL, Site, clean_environment

Done = subprocess.CompletedProcess[str]


class Person:
    """Somebody with a home of their own, in a folder that is no site."""

    def __init__(self, site: Site, home: Path) -> None:
        self.site, self.home = site, home
        self.key = site.keys["GATEWAY_KEY"]

    def run(self, *arguments: str, code: int | None = 0, stdin: str = "", in_site: bool = True, **more: str) -> Done:
        done = subprocess.run(
            [*STACKCTL, *(["--site", str(self.site.path)] if in_site else []), "connect", *arguments],
            cwd=self.home,
            env=clean_environment(HOME=str(self.home), XDG_STATE_HOME=str(self.home / "state"), **more),
            input=stdin,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        assert code in (None, done.returncode), f"{done.stdout}\n{done.stderr}"
        return done

    def file(self, path: str, text: str | None = None) -> Path:
        file = self.home / path
        file.parent.mkdir(parents=True, exist_ok=True)
        if text is not None:
            file.write_text(text, encoding="utf-8")
        return file
