"""The gateway of this checkout, run for a test with a configuration of its own."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

from stackctl.adapters.files.site_files import find_cache_dir
from stackctl.adapters.http.drill_client import open_drill_client
from stackctl.adapters.http.drill_servers import run_drill_servers
from stackctl.adapters.process.drill_gateway import DrillGateway, run_drill_gateway
from stackctl.adapters.process.environments import find_environment, make_environment
from stackctl.operations.look.drill import DrillEffects
from tests.integration.stack_site import REPOSITORY

SOURCE = REPOSITORY / "services" / "api-gateway"


def find_gateway_python() -> str:
    """The Python of the environment that the gateway's lock makes, as ``up`` does."""
    lock = SOURCE / "requirements.lock"
    folder = find_environment(find_cache_dir(os.environ), lock, {})
    make_environment(folder, lock, {}, os.environ.get("PIP_INDEX_URL", ""), print)
    return str(folder / "bin" / "python")


@contextmanager
def run_gateway(configuration: str, **environment: str) -> Iterator[DrillGateway]:
    """Run it until the end of the block."""
    command = (find_gateway_python(), "-m", "gateway")
    with run_drill_gateway(command, configuration, {"PYTHONPATH": str(SOURCE), **environment}) as gateway:
        yield gateway


DRILL = DrillEffects(run_drill_servers, run_gateway, open_drill_client)
