"""``python -m tests.bench [--only GROUP ...]``: measure and write docs/benchmarks.md and docs/benchmarks.json."""

from __future__ import annotations

import argparse
import os
import platform
import sys
import tempfile
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from stackctl.adapters.files.site_files import find_cache_dir
from stackctl.core.settings.dotenv import set_values
from tests.bench.chat import measure_chat
from tests.bench.gateway import measure_gateway, measure_gateway_start
from tests.bench.groups import (
    measure_cli,
    measure_engines,
    measure_health,
    measure_start,
)
from tests.bench.model import make_model
from tests.bench.offline import measure_offline
from tests.bench.offline_images import measure_images
from tests.bench.policy import measure_policy
from tests.bench.report import Figure, write_report
from tests.bench.sites import run_stackctl
from tests.ports import claim_ports

ROOT = Path(__file__).resolve().parents[2]
GROUPS = ("cli", "start", "health", "gateway", "chat", "policy", "engines", "offline", "images")


def main() -> int:
    """Run the groups asked for, all by default, and write their figures to the page."""
    parser = argparse.ArgumentParser(
        description="Measure the stack; needs no GPU, and Docker for the containers' images only."
    )
    parser.add_argument("--only", action="append", choices=GROUPS, default=[], help="one group; may be given again")
    parser.add_argument("--rounds", type=int, default=9, help="starts of each side in the start group")
    parser.add_argument("--gib", type=int, default=8, help="size of the model in the offline group")
    parser.add_argument("--dry", action="store_true", help="print the figures and write no page")
    options = parser.parse_args()
    cache = find_cache_dir(os.environ)
    with tempfile.TemporaryDirectory(prefix="stack-bench-") as name:
        site = make_site(Path(name))
        runners: dict[str, Callable[[], Iterable[Figure]]] = {
            "cli": lambda: measure_cli(site),
            "start": lambda: measure_start(site, options.rounds),
            "health": lambda: _with_stack(site, lambda: measure_health(site)),
            "gateway": lambda: _measure_gateway(site, options.rounds),
            "chat": lambda: measure_chat(site),
            "policy": lambda: measure_policy(Path(name) / "policy"),
            "engines": lambda: measure_engines(
                make_model(ROOT / "models" / "demo.gguf", cache / "bench" / "random-160m.gguf"), Path(name), cache
            ),
            "offline": lambda: measure_offline(make_site(Path(name) / "offline"), Path(name) / "offline", options.gib),
            "images": lambda: measure_images(Path(name) / "images"),
        }
        figures: list[Figure] = []
        for group in options.only or GROUPS:
            print(f"{group} ...", file=sys.stderr)
            for figure in runners[group]():
                print(f"  {figure.name}: {figure.ours} | {figure.other} | {figure.write_ratio()} {figure.goal}")
                figures.append(figure)
    if not options.dry:
        write_report(figures, f"{os.cpu_count()} cores, {platform.machine()}, no GPU used", ROOT / "docs")
    return 0


def make_site(folder: Path) -> Path:
    """A site of its own on free ports, in the process runtime."""
    site = folder / "site"
    site.mkdir(parents=True)
    run_stackctl(site, "init")
    gateway, engines, *_ = claim_ports()
    values = {"STACK_RUNTIME": "process", "API_GATEWAY_PORT": str(gateway), "INFERENCE_PORT": str(engines)}
    path = site / ".env"
    path.write_text(set_values(path.read_text(), {**values, "INFERENCE_SLOTS": "8"}))
    return site


def _measure_gateway(site: Path, rounds: int) -> Iterator[Figure]:
    yield from measure_gateway_start(site, rounds)
    yield from measure_gateway(site)


def _with_stack(site: Path, measure: Callable[[], list[Figure]]) -> list[Figure]:
    run_stackctl(site, "up")
    try:
        return measure()
    finally:
        run_stackctl(site, "down")


if __name__ == "__main__":
    sys.exit(main())
