"""A site on disk whose services only sleep, under a real supervisord: for tests of the process runtime."""

from __future__ import annotations

import sys
from pathlib import Path

from stackctl.adapters.process.process_runtime import ProcessRuntime
from stackctl.core.stack.runtime import StartPlan
from stackctl.operations.site.load import load_site
from stackctl.operations.site.render import build_plan, render_site
from tests.fakes import CHECKOUT, World, write_env
from tests.processes import is_alive
from tests.waiting import wait_for

SERVICES = ("inference-chat", "inference-embed", "api-gateway")


class SleepingSite:
    """A site whose services sleep, on disk where supervisord needs it."""

    def __init__(self, folder: Path) -> None:
        self.world = World(site=folder)
        self.world.python = sys.executable
        self.world.launcher = CHECKOUT / "stackctl" / "programs" / "launch.py"
        self.world.service_environments = folder / "envs"
        self.state_dir = self.world.effects.paths.state_dir
        self.rendered_dir = self.world.effects.paths.rendered_dir
        self.runtime = ProcessRuntime(self.state_dir, self.rendered_dir, ())

    def plan(self, **env: object) -> StartPlan:
        """A plan for these settings, its configuration written."""
        self.world.files[self.world.site / ".env"] = write_env(**env)
        effects = self.world.effects
        loaded = load_site(effects)
        rendered = render_site(effects, loaded)
        self.rendered_dir.mkdir(parents=True, exist_ok=True)
        for name, text in rendered.files.items():
            (self.rendered_dir / name).write_text(text, encoding="utf-8")
        for service in rendered.process_services:
            program = Path(service.arguments[0])
            program.parent.mkdir(parents=True, exist_ok=True)
            program.write_text("#!/bin/sh\necho started\nexec sleep 600\n")
            program.chmod(0o755)
        return build_plan(loaded, rendered, "process", "none")

    def start(self, **env: object) -> set[str]:
        """Bring the processes to these settings; names of those started, all of them asleep by now."""
        started = set(self.runtime.start(self.plan(**env), lambda line: None))
        self.wait_until_asleep()
        return started

    def wait_until_asleep(self) -> None:
        """supervisord loses a SIGTERM to a child that is not yet its program, and would kill it only after 15 s."""
        wait_for(lambda: all(map(is_asleep, self.list_pids().values())), "every service sleeps")

    def list_pids(self) -> dict[str, int]:
        return {state.name: state.pid for state in self.runtime.list_states().values()}


def is_asleep(pid: int) -> bool:
    return pid > 0 and is_alive(pid) and Path(f"/proc/{pid}/cmdline").read_text().startswith("sleep")
