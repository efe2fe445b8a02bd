"""Start the stack's services bare, outside stackctl, as the other side of a ratio."""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from stackctl.adapters.http.service_calls import fetch

START_TIMEOUT_S = 120.0
POLL_S = 0.02


@contextmanager
def run_service(argv: tuple[str, ...], environment: Mapping[str, str], url: str, folder: Path) -> Iterator[float]:
    """Run a service until the block ends; gives the seconds from its start to its first 200.

    Raises:
        RuntimeError: it ended or did not get ready in time.
    """
    kept = {name: os.environ[name] for name in ("PATH", "HOME", "LANG") if name in os.environ}
    with (folder / "service.log").open("w") as log:
        started = time.perf_counter()
        process = subprocess.Popen(argv, env={**kept, **environment}, cwd=folder, stdout=log, stderr=log)
        try:
            while fetch(url, timeout_s=1.0).status != 200:
                if process.poll() is not None or time.perf_counter() - started > START_TIMEOUT_S:
                    raise RuntimeError(f"{argv[0]} did not start: {(folder / 'service.log').read_text()[-2000:]}")
                time.sleep(POLL_S)
            yield time.perf_counter() - started
        finally:
            process.terminate()
            try:
                process.wait(timeout=30)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
