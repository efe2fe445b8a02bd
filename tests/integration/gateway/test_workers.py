"""The server's processes: one arbiter for all workers, what a death gives back, how a stop drains."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import aiohttp
import pytest

from tests.integration.stack_site import REPOSITORY
from tests.ports import claim_port
from tests.processes import is_alive, list_descendants
from tests.waiting import wait_for

PROGRAM = Path(__file__).with_name("slot_program.py")
DEADLINE_S = 60.0


@dataclass
class Gateway:
    """A running server and the file that ends its requests."""

    process: subprocess.Popen[bytes]
    port: int
    until: Path

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def list_workers(self) -> list[int]:
        return [pid for pid in list_descendants(self.process.pid) if is_alive(pid)]


Start = Callable[..., Gateway]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """Starts servers, and kills what is left of them."""
    started: list[Gateway] = []

    def start_one(workers: int, shutdown_s: int = 60) -> Gateway:
        port = claim_port()
        environment = os.environ | {
            "PYTHONPATH": os.pathsep.join([str(REPOSITORY / "services" / "api-gateway"), str(REPOSITORY)]),
            "GATEWAY_CONFIG": "unread",
            "GATEWAY_ADMIN_KEY": "admin",
            "GATEWAY_KEY": "client",
            "GATEWAY_PORT": str(port),
            "GATEWAY_WORKERS": str(workers),
            "GATEWAY_SHUTDOWN_S": str(shutdown_s),
        }
        metrics = tmp_path / f"metrics-{port}"
        metrics.mkdir()
        if workers > 1:
            environment["PROMETHEUS_MULTIPROC_DIR"] = str(metrics)
        process = subprocess.Popen([sys.executable, str(PROGRAM)], env=environment)
        gateway = Gateway(process, port, tmp_path / f"until-{port}")
        started.append(gateway)
        return gateway

    yield start_one
    for gateway in started:
        left = [gateway.process.pid, *list_descendants(gateway.process.pid)]
        for pid in filter(is_alive, left):
            os.kill(pid, signal.SIGKILL)
        gateway.process.wait()


class Hold:
    """One request that wants a slot."""

    def __init__(self, answer: aiohttp.ClientResponse) -> None:
        self.answer = answer
        self.worker = int(answer.headers["x-worker"])
        self.text = ""
        self.reading = asyncio.create_task(self._read())

    async def _read(self) -> None:
        async for chunk in self.answer.content.iter_any():
            self.text += chunk.decode()

    @property
    def is_leased(self) -> bool:
        return "leased" in self.text


class Client:
    """Requests to one server, each over a connection of its own."""

    def __init__(self, gateway: Gateway, session: aiohttp.ClientSession) -> None:
        self.gateway = gateway
        self.session = session

    async def hold(self) -> Hold:
        url = f"{self.gateway.url}/hold"
        return Hold(await self.session.get(url, params={"until": str(self.gateway.until)}))

    async def read_state(self) -> dict[str, list[int]]:
        async with self.session.get(f"{self.gateway.url}/state") as answer:
            state: dict[str, list[int]] = await answer.json(content_type=None)
            return state

    async def reach(self, *numbers: int) -> None:
        """Wait until the line of the engine is (slots, leased, waiting)."""
        async with asyncio.timeout(DEADLINE_S):
            while await self.read_state() != {"engine": list(numbers)}:
                await asyncio.sleep(0.01)

    async def reach_nobody(self) -> None:
        """Wait until connections are refused."""
        async with asyncio.timeout(DEADLINE_S):
            while True:
                try:
                    await self.read_state()
                except aiohttp.ClientConnectionError:
                    return


async def until(condition: Callable[[], object]) -> None:
    async with asyncio.timeout(DEADLINE_S):
        while not condition():
            await asyncio.sleep(0.01)


def play(gateway: Gateway, scenario: Callable[[Client], Awaitable[None]]) -> None:
    """Run a scenario as soon as the server answers."""

    async def run() -> None:
        connector = aiohttp.TCPConnector(force_close=True, limit=0)
        timeout = aiohttp.ClientTimeout(total=DEADLINE_S)
        async with aiohttp.ClientSession(connector=connector, timeout=timeout) as session:
            client = Client(gateway, session)
            async with asyncio.timeout(DEADLINE_S):
                while True:
                    try:
                        await client.read_state()
                        break
                    except aiohttp.ClientConnectionError:
                        await asyncio.sleep(0.02)
            await scenario(client)

    asyncio.run(run())


def test_the_slots_of_a_killed_worker_go_to_the_others(start: Start) -> None:
    gateway = start(workers=3)

    async def scenario(client: Client) -> None:
        holds = [await client.hold(), await client.hold()]
        await client.reach(2, 2, 0)
        victim = holds[0].worker
        while sum(hold.worker != victim and not hold.is_leased for hold in holds) < 2:
            holds.append(await client.hold())
        await client.reach(2, 2, len(holds) - 2)
        os.kill(victim, signal.SIGKILL)
        survivors = [hold for hold in holds if hold.worker != victim]
        await client.reach(2, 2, len(survivors) - 2)
        await until(lambda: sum(hold.is_leased for hold in survivors) == 2)
        await until(lambda: len(gateway.list_workers()) == 3)
        for hold in holds:
            hold.answer.close()
        await asyncio.gather(*[hold.reading for hold in holds], return_exceptions=True)
        await client.reach(2, 0, 0)

    play(gateway, scenario)


def test_workers_end_when_their_parent_is_killed(start: Start) -> None:
    gateway = start(workers=2)

    async def scenario(client: Client) -> None:
        hold = await client.hold()
        await client.reach(2, 1, 0)
        workers = gateway.list_workers()
        assert len(workers) == 2
        gateway.process.kill()
        hold.answer.close()
        await asyncio.wait({hold.reading})
        await until(lambda: not any(map(is_alive, workers)))

    play(gateway, scenario)


@pytest.mark.parametrize("workers", [1, 2])
def test_a_stop_refuses_new_requests_and_finishes_those_that_run_and_wait(start: Start, workers: int) -> None:
    gateway = start(workers)

    async def scenario(client: Client) -> None:
        holds = [await client.hold() for _ in range(5)]
        await client.reach(2, 2, 3)
        gateway.process.terminate()
        await client.reach_nobody()
        gateway.until.touch()
        for hold in holds:
            await hold.reading
        assert {hold.text for hold in holds} == {"asked leased done"}

    play(gateway, scenario)
    assert gateway.process.wait(DEADLINE_S) == 0


@pytest.mark.parametrize("workers", [1, 2])
def test_what_does_not_end_in_time_is_cut(start: Start, workers: int) -> None:
    gateway = start(workers, shutdown_s=1)

    async def scenario(client: Client) -> None:
        holds = [await client.hold() for _ in range(3)]
        await client.reach(2, 2, 1)
        gateway.process.terminate()
        for hold in holds:
            with pytest.raises(aiohttp.ClientPayloadError):
                await hold.reading

    play(gateway, scenario)
    assert gateway.process.wait(DEADLINE_S) == 0


def test_a_killed_worker_is_replaced_at_once(start: Start) -> None:
    gateway = start(workers=2)

    async def scenario(client: Client) -> None:
        await until(lambda: len(gateway.list_workers()) == 2)
        first = gateway.list_workers()
        os.kill(first[0], signal.SIGKILL)
        await until(lambda: len(set(gateway.list_workers()) - set(first)) == 1)

    play(gateway, scenario)
    gateway.process.terminate()
    assert gateway.process.wait(DEADLINE_S) == 0
    assert wait_for(lambda: not gateway.list_workers(), "the workers to end") is True
