"""What a prompt cache costs and brings: ``python -m tests.bench.prompt_cache [MODEL.gguf]``.

Does I/O: starts the prebuilt engine once for each size of the cache, on loopback, and ends it. Prints two tables: 32
independent clients on 32 and on 4 slots (tokens a second against the engine without a cache, rounds interleaved), and
six people in long conversations on four slots (prompt tokens that were not computed again, CPU seconds of the engine).
Takes about eight minutes with the demo model on two cores; compare ratios within one run only.
"""

from __future__ import annotations

import argparse
import os
import random
import socket
import statistics
import subprocess
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx

from stackctl.adapters.files.site_files import find_cache_dir, find_data_root
from stackctl.adapters.models.gguf import load_model_files
from stackctl.adapters.process import environments
from stackctl.core.engine.engines import ENGINE_FOLDER, XLLAMACPP, EngineParameters, build_arguments, build_environment
from stackctl.core.models.files import build_model_header
from stackctl.core.models.prompt_cache import AUTO, choose_prompt_cache, count_entry_bytes

CONTEXT = 2048
ROUNDS = 5
TOKENS = 48
PEOPLE, TURNS = 6, 6
TIMEOUT_S = 300.0
WORDS = ("how", "do", "I", "run", "the", "stack", "with", "a", "model", "of", "my", "own", "on", "one", "card")


@dataclass(frozen=True)
class Engine:
    """A running engine."""

    url: str
    pid: int

    def ask(self, messages: list[dict[str, str]]) -> tuple[str, int, int]:
        """The answer, its tokens, and the prompt tokens that were reused."""
        body = {"messages": messages, "max_tokens": TOKENS, "temperature": 0}
        answer = httpx.post(f"{self.url}/v1/chat/completions", json=body, timeout=TIMEOUT_S).raise_for_status().json()
        timings = answer["timings"]
        return answer["choices"][0]["message"]["content"], timings["predicted_n"], timings["cache_n"]

    def read_cpu_s(self) -> float:
        """CPU time of the process so far."""
        fields = Path(f"/proc/{self.pid}/stat").read_text().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


@contextmanager
def run_engine(model: Path, slots: int, cache_mib: int, *, saves_idle_slots: bool = False) -> Iterator[Engine]:
    """An engine with this prompt cache, ready."""
    folder = find_data_root() / ENGINE_FOLDER
    assert XLLAMACPP.lock_file
    assert XLLAMACPP.launcher
    lock = folder / XLLAMACPP.lock_file
    environment = environments.find_environment(find_cache_dir(os.environ), lock, {})
    environments.make_environment(environment, lock, {}, "", lambda line: None)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    parameters = EngineParameters(str(model), "m", "127.0.0.1", port, CONTEXT, slots, prompt_cache_mib=cache_mib)
    variables = build_environment(XLLAMACPP, parameters) | {"LLAMA_ARG_CACHE_IDLE_SLOTS": str(int(saves_idle_slots))}
    argv = [
        str(environment / "bin" / "python"),
        str(folder / XLLAMACPP.launcher),
        *build_arguments(XLLAMACPP, parameters),
    ]
    process = subprocess.Popen(
        argv, env={**os.environ, **variables}, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    engine = Engine(f"http://127.0.0.1:{port}", process.pid)
    try:
        deadline = time.monotonic() + TIMEOUT_S
        while not is_ready(engine):
            assert process.poll() is None, "the engine ended"
            assert time.monotonic() < deadline, "the engine does not get ready"
            time.sleep(0.1)
        yield engine
    finally:
        process.terminate()
        process.wait(TIMEOUT_S)


def is_ready(engine: Engine) -> bool:
    """Whether the model is loaded."""
    try:
        return httpx.get(f"{engine.url}/health", timeout=TIMEOUT_S).status_code == 200
    except httpx.TransportError:
        return False


def write_prompt(seed: str, words: int = 120) -> list[dict[str, str]]:
    """A question that no other begins like."""
    chosen = random.Random(seed)
    return [{"role": "user", "content": seed + " " + " ".join(chosen.choice(WORDS) for _ in range(words))}]


def measure_clients(engine: Engine, round_number: int, clients: int = 32) -> float:
    """Tokens a second of independent clients, each with two questions."""

    def run(client: int) -> int:
        return sum(engine.ask(write_prompt(f"{round_number}-{client}-{turn}"))[1] for turn in range(2))

    started = time.monotonic()
    with ThreadPoolExecutor(clients) as pool:
        tokens = sum(pool.map(run, range(clients)))
    return tokens / (time.monotonic() - started)


def measure_people(engine: Engine) -> tuple[int, float]:
    """Reused prompt tokens, and CPU seconds, of people who take turns in growing conversations."""
    before = engine.read_cpu_s()
    talks = [write_prompt(f"person {person}") for person in range(PEOPLE)]
    reused = 0
    for _ in range(TURNS):
        for talk in talks:
            text, _, cached = engine.ask(talk)
            reused += cached
            talk += [{"role": "assistant", "content": text}, *write_prompt("and then", 40)]
    return reused, engine.read_cpu_s() - before


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("model", type=Path, nargs="?", default=find_data_root() / "models" / "demo.gguf")
    model = parser.parse_args().model.resolve()
    header = build_model_header(load_model_files(model))
    assert header
    entry = count_entry_bytes(header, CONTEXT, "f16")
    print(f"{model.name}: one conversation of {CONTEXT} tokens takes {entry / 2**20:.1f} MiB")
    for slots in (32, 4):
        auto = choose_prompt_cache(AUTO, entry, slots, 1 << 50)
        arms = [("0", 0, False), (f"auto, {auto}", auto, False), ("512, idle slots saved", 512, True)]
        rates: dict[str, list[float]] = {name: [] for name, _, _ in arms}
        for number in range(ROUNDS):
            for name, size, saves in arms if number % 2 else arms[::-1]:
                with run_engine(model, slots, size, saves_idle_slots=saves) as engine:
                    rates[name].append(measure_clients(engine, number))
        base = statistics.median(rates["0"])
        for name, seen in rates.items():
            rate = statistics.median(seen)
            print(f"32 clients, {slots} slots, cache {name}: {rate:.0f} tokens/s, {rate / base:.2f} of no cache")
    for slots in (4, 8):
        auto = choose_prompt_cache(AUTO, entry, slots, 1 << 50)
        below = max(2 * entry >> 20, 1)
        for name, size in (("0", 0), (f"of two conversations, {below}", below), (f"auto, {auto}", auto)):
            with run_engine(model, slots, size) as engine:
                reused, cpu_s = measure_people(engine)
            print(f"six people, {slots} slots, cache {name}: {reused} prompt tokens reused, {cpu_s:.1f} CPU-s")


if __name__ == "__main__":
    main()
