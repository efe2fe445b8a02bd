"""What is measured: each group runs both sides of its ratios in turn and returns figures."""

from __future__ import annotations

import resource
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from statistics import median

from stackctl.cli.console import Progress
from stackctl.cli.world.effects import build_effects
from stackctl.core.engine.engines import ENGINES, EngineParameters, build_arguments, build_environment
from stackctl.operations.look.health import check_health
from stackctl.operations.site.running import load_running
from tests.bench.load import Load, Target, run_load
from tests.bench.report import Figure
from tests.bench.services import run_service
from tests.bench.sites import STACKCTL, build_body, build_site_plan, run_stackctl

KEY = "bench-key"
MIB = 1 << 20


def measure_cli(site: Path) -> list[Figure]:
    """CPU time of the commands that people wait for."""
    goals = {"--help": 0.15, "render": 0.4}
    figures = []
    for command, goal in goals.items():
        ours, bare = _alternate(
            7,
            lambda: _measure_cpu([STACKCTL, "--site", str(site), command]),  # noqa: B023
            lambda: _measure_cpu([sys.executable, "-c", "import click"]),
        )
        name = f"stackctl {command}"
        figures.append(Figure("Command line", name, f"{name}  # user + system CPU", f"{ours:.3f} s CPU",
                              f"python -c 'import click': {bare:.3f} s CPU", ours / bare, f"at most {goal} s CPU",
                              ours <= goal))  # fmt: skip
    return figures


def measure_start(site: Path, rounds: int) -> list[Figure]:
    """``up`` to the first answer against the slower of the two services started bare."""
    plan = build_site_plan(site, {})
    engine, gateway = plan.services[0], plan.services[-1]
    times: dict[str, list[float]] = {"engine": [], "gateway": [], "up": []}
    run_stackctl(site, "up")
    run_stackctl(site, "down")
    for _ in range(rounds):
        for name, service in (("engine", engine), ("gateway", gateway)):
            environment = {**service.environment, **plan.secrets[service.name]}
            url = f"http://127.0.0.1:{service.port}{service.health_path}"
            with run_service(service.arguments, environment, url, site) as seconds:
                times[name].append(seconds)
        times["up"].append(_measure_first_answer(site, Target(gateway.port, plan.variables["GATEWAY_KEY"])))
        run_stackctl(site, "down")
    bare = {name: median(times[name]) for name in ("engine", "gateway")}
    slower = max(bare, key=lambda name: bare[name])
    ours = median(times["up"])
    return [
        Figure("Start", "up to the first answer, warm", "stackctl up --runtime process", f"{ours:.2f} s",
               f"the slower bare start, {slower}: {bare[slower]:.2f} s", ours / bare[slower], "at most 1.15",
               ours / bare[slower] <= 1.15)
    ]  # fmt: skip


def _measure_first_answer(site: Path, target: Target) -> float:
    """Seconds from the start of ``stackctl up`` to the first chat that the gateway answers."""
    body = build_body("local-chat", 8, stream=False)
    started = time.perf_counter()
    with subprocess.Popen([STACKCTL, "--site", str(site), "up"], stdout=subprocess.DEVNULL,
                          stderr=subprocess.DEVNULL) as process:  # fmt: skip
        while not run_load(target, body, 1, 1).outcomes[0].ok:
            time.sleep(0.02)
        seconds = time.perf_counter() - started
        if process.wait() != 0:
            raise RuntimeError("stackctl up failed")
    return seconds


def measure_health(site: Path) -> list[Figure]:
    """A round of all probes against the slowest of them."""
    effects = build_effects(site, {}, Progress())
    running = load_running(effects)
    check_health(effects, running)
    ratios, walls = [], []
    for _ in range(9):
        started = time.perf_counter()
        report = check_health(effects, running)
        walls.append(time.perf_counter() - started)
        ratios.append(walls[-1] / max(result.elapsed_s for result in report.results))
    wall, ratio = median(walls), median(ratios)
    return [
        Figure("Health", "all probes side by side", "check_health, as stackctl health runs it", f"{wall * 1000:.0f} ms",
               f"its slowest probe: {wall / ratio * 1000:.0f} ms", ratio, "at most 1.2", ratio <= 1.2)
    ]  # fmt: skip


def measure_engines(model: Path, folder: Path, cache: Path) -> list[Figure]:
    """Tokens a second of each engine at 1, 4 and 8 clients, against llama-cpp-python at one."""
    rates: dict[str, dict[int, Load]] = {}
    for name, program in _find_engines(cache).items():
        engine = ENGINES[name]
        parameters = EngineParameters(str(model), "bench", "127.0.0.1", 18_555, 1024, 8)
        environment = {**build_environment(engine, parameters), "LLAMA_API_KEY": KEY}
        url = f"http://127.0.0.1:18555{engine.health_path}"
        with run_service((*program, *build_arguments(engine, parameters)), environment, url, folder):
            body = build_body("bench", 48, stream=True)
            run_load(Target(18_555, KEY), body, 1, 1)
            rates[name] = {clients: run_load(Target(18_555, KEY), body, clients, 2 * clients) for clients in (1, 4, 8)}
    base_name = "llama-cpp-python" if "llama-cpp-python" in rates else next(iter(rates), "")
    base = rates[base_name][1].events_per_s if rates else 0.0
    command = f"{model.stat().st_size // MIB} MiB model, streamed chat of 48 tokens"
    figures = []
    for name, loads in rates.items():
        for clients, load in loads.items():
            text = f"{load.events_per_s:.1f} tokens/s" + (f", {load.failures} failed" if load.failures else "")
            figures.append(Figure("Engines", f"{name}, {clients} at once",
                                  command, text, f"{base_name}, 1 at once: {base:.1f} tokens/s",
                                  load.events_per_s / base))  # fmt: skip
    return figures


def _find_engines(cache: Path) -> dict[str, tuple[str, ...]]:
    """Engines that are installed here: from an earlier ``up`` or test, or on PATH."""
    services = Path(__file__).resolve().parents[2] / "services" / "inference"
    found: dict[str, tuple[str, ...]] = {}
    built = sorted((cache / "llama-server").glob("*/llama-server"))
    server = shutil.which("llama-server") or (str(built[-1]) if built else "")
    if server:
        found["llama.cpp"] = (server,)
    for name in ("xllamacpp", "llama-cpp-python"):
        module = {"xllamacpp": "xllamacpp", "llama-cpp-python": "llama_cpp"}[name]
        for environment in sorted((cache / "envs").glob("inference-*/")):
            if list(environment.glob(f"lib/python*/site-packages/{module}")):
                found[name] = (str(environment / "bin" / "python"), str(services / str(ENGINES[name].launcher)))
    return found


def _alternate(rounds: int, ours: Callable[[], float], other: Callable[[], float]) -> tuple[float, float]:
    pairs = [(ours(), other()) for _ in range(rounds)]
    return median(pair[0] for pair in pairs), median(pair[1] for pair in pairs)


def _measure_cpu(argv: Sequence[str]) -> float:
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run(argv, check=True, capture_output=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
