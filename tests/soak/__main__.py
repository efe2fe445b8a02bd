"""``python -m tests.soak [--requests N] [--minutes N] [--clients N]``: the gateway, then a whole stack, under load.

First 2,000 requests one after another and 2,000 at once to an engine that cuts connections, then mixed ones to three
providers that fail, with clients that leave and workers that are killed (steady.py, mixed.py). As many again to
providers that count, against the gateway's table of usage (counted.py), and reports of a million records (records.py).

Then the stack.
Does I/O: makes a site in a temporary folder, starts its services as processes of this machine, asks the gateway from
several clients for the time given, and stops everything. Without an NVIDIA GPU one is emulated. Fails at the first
minute in which ``health`` fails, a service was restarted or an answer is wrong, and unless ``up`` then changes nothing
and ``restart`` ends well. Logs are put aside at 100 KiB, so that they turn over many times.
"""

from __future__ import annotations

import argparse
import os
import shutil
import tempfile
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path

from tests.integration.emulated_gpu import EmulatedGpu
from tests.integration.stack_site import ANSWERS, CHAT_SERVICE, Site
from tests.soak.counted import run_counted
from tests.soak.mixed import run_mixed
from tests.soak.records import measure_records
from tests.soak.steady import run_steady

QUESTION = "ping"
LOOK_S = 60.0
STEADY, REQUESTS_A_KILL, QUOTED_PROBLEMS = 2000, 500, 20
# What a worker that is killed may lose; and the records and keys of the largest database that is measured.
LOSS_S, RECORDS, KEYS = 0.1, 1_000_000, 10_000


@dataclass
class Load:
    """Clients that ask until they are told to stop.

    Attributes:
        answers: right ones so far, by client.
        problem: the first thing that went wrong.
    """

    site: Site
    clients: int
    answers: list[int] = field(default_factory=list)
    problem: str = ""
    stopped: threading.Event = field(default_factory=threading.Event)

    def run(self, minutes: float) -> None:
        """Ask for this long, looking at the stack once a minute.

        Raises:
            SystemExit: something went wrong.
        """
        self.answers = [0] * self.clients
        threads = [threading.Thread(target=self._ask, args=(number,)) for number in range(self.clients)]
        for thread in threads:
            thread.start()
        deadline = time.monotonic() + minutes * 60
        try:
            while (left := deadline - time.monotonic()) > 0 and not self.stopped.wait(min(left, LOOK_S)):
                look(self.site, sum(self.answers))
        finally:
            self.stopped.set()
            for thread in threads:
                thread.join()
        if self.problem:
            raise SystemExit(f"failed: {self.problem}")

    def _ask(self, client_number: int) -> None:
        body = {"model": "local-chat", "temperature": 0, "messages": [{"role": "user", "content": QUESTION}]}
        with self.site.client() as client:
            while not self.stopped.is_set():
                try:
                    answer = client.post("/v1/chat/completions", json=body).raise_for_status().json()
                    text = answer["choices"][0]["message"]["content"]
                    assert text == ANSWERS[QUESTION], f"'{text}' was answered"
                except Exception as error:  # whatever it is, it ends the run
                    self.problem = self.problem or f"{type(error).__name__}: {error}"
                    self.stopped.set()
                self.answers[client_number] += 1


def look(site: Site, answers: int) -> None:
    """Health, restarts, and how far the engine's log has come.

    Raises:
        SystemExit: the stack is not healthy, or a service died.
    """
    report = site.load_health()
    bad = [item for item in report["results"] if item["status"] not in ("ok", "skipped")]
    services = site.list_services()
    died = [name for name, item in services.items() if item["restarts"]]
    logs = sorted((site.state / "logs").glob(f"{CHAT_SERVICE}.log*"))
    has_start = any(b"launch: " in path.read_bytes() for path in logs)
    resident = Path(f"/proc/{services[CHAT_SERVICE]['pid']}/statm").read_text().split()[1]
    memory_mib = int(resident) * os.sysconf("SC_PAGE_SIZE") >> 20
    print(
        f"{answers} answers; health {report['status']}; engine {memory_mib} MiB; {len(logs)} log files, "
        f"{'with' if has_start else 'without'} the lines of the start",
        flush=True,
    )
    if bad or died:
        raise SystemExit(f"failed: {bad or died}")


def load_gateway(requests: int) -> None:
    """The gateway alone, before providers of our own.

    Raises:
        SystemExit: something was not as it must be.
    """
    steady = run_steady(STEADY, STEADY)
    took = " and ".join(f"{seconds:.0f} s" for seconds in steady.seconds)
    print(f"{STEADY} requests one after another and {STEADY} at once: {took}; {steady.tried_again} were tried again")
    mixed = run_mixed(requests, requests // REQUESTS_A_KILL)
    early, late = mixed.memory_mib
    print(f"{requests} mixed requests: {mixed.seconds:.0f} s; {early} MiB a worker after a fifth, {late} at the end")
    print(", ".join(f"{count} x {end}" for end, count in mixed.ends.most_common()))
    if problems := [*steady.problems, *mixed.problems]:
        raise SystemExit("failed: " + "\n".join(problems[:QUOTED_PROBLEMS]))


def count_usage(requests: int) -> None:
    """The table of usage: against providers that count, and how fast it is when it is large.

    Raises:
        SystemExit: it says anything else than the providers.
    """
    with tempfile.TemporaryDirectory(prefix="soak-usage-") as folder:
        counted = run_counted(Path(folder) / "state", requests, requests // REQUESTS_A_KILL, LOSS_S)
        records = measure_records(Path(folder) / "large", RECORDS, KEYS)
    told, oldest_ms = counted.told, max(counted.lost, default=0.0) * 1000
    print(
        f"{requests} requests to providers that count: {counted.rows[0]} records, {counted.rows[1]} of them estimates"
    )
    print(f"{told.prompt} + {told.completion} tokens, {told.cached} cached, are the same; killed workers lost", end=" ")
    print(f"{len(counted.lost)} records of requests that had ended, the oldest {oldest_ms:.0f} ms before")
    empty_ms, full_ms = records.batch_ms
    print(f"{RECORDS} records: {records.size_mib} MiB; a batch of 20 takes {empty_ms:.1f} ms, then {full_ms:.1f} ms")
    print("reports: " + ", ".join(f"by {name} {took_ms:.0f} ms" for name, took_ms in records.reports_ms.items()))
    if counted.problems:
        raise SystemExit("failed: " + "\n".join(counted.problems[:QUOTED_PROBLEMS]))


def load_stack(minutes: float, clients: int) -> None:
    """A whole stack in a temporary folder: start, load, look, stop."""
    with tempfile.TemporaryDirectory(prefix="soak-") as folder:
        if shutil.which("nvidia-smi") is None:
            gpu = EmulatedGpu.create(Path(folder) / "gpu")
            os.environ["PATH"] = f"{gpu.programs}{os.pathsep}{os.environ['PATH']}"
            print("the GPU is emulated: the engine computes on the CPU and names one")
        site = Site.create(
            Path(folder) / "site", STACK_GPU="nvidia", EMBEDDING_MODEL="none", LOG_MAX_SIZE="100k", LOG_MAX_FILES="3"
        )
        try:
            site.run("up")
            load = Load(site, clients)
            load.run(minutes)
            assert "nothing had to change" in site.run("up").stdout
            site.run("restart")
            look(site, sum(load.answers))
        finally:
            site.stop()


def main() -> None:
    """Parse, and run what is wanted."""
    parser = argparse.ArgumentParser(description="Run the gateway and a stack under load.")
    parser.add_argument("--requests", type=int, default=10_000, help="mixed requests (default: 10000; 0: none)")
    parser.add_argument("--minutes", type=float, default=30, help="how long (default: 30)")
    parser.add_argument("--clients", type=int, default=8, help="clients at the same time (default: 8)")
    options = parser.parse_args()
    if options.requests:
        load_gateway(options.requests)
        count_usage(options.requests)
    if options.minutes:
        load_stack(options.minutes, options.clients)
    print("soak: well")


if __name__ == "__main__":
    main()
