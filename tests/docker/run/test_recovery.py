"""What dies comes back: by its restart policy when it crashed, by ``up`` when somebody stopped it."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import Any

import openai
import pytest
from docker.errors import APIError
from docker.models.containers import Container
from docker.models.networks import Network
from openai.types.chat import ChatCompletionChunk

from tests.docker.sites import ANSWERS, IMAGES, Site, kill_inside
from tests.waiting import wait_for

pytestmark = pytest.mark.docker
# Far below the ten minutes that one request may take by default.
STREAM_DEADLINE_S = 90.0


def count_restarts(site: Site, service: str) -> int:
    return int(site.list_containers()[service].attrs["RestartCount"])


def wait_healthy(site: Site) -> list[dict[str, Any]]:
    """Wait until health has nothing to say against the stack; what it says then."""

    def ask() -> list[dict[str, Any]] | None:
        code, report = site.load_health()
        return report["results"] if code == 0 else None

    return wait_for(ask, "health is well again")


def find_detail(results: list[dict[str, Any]], service: str) -> str:
    """What health says of a service."""
    (found,) = (item for item in results if (item["layer"], item["subject"]) == ("service", service))
    return str(found["detail"])


@pytest.mark.parametrize("service", ["inference-chat", "api-gateway"])
def test_a_service_that_crashes_is_started_again_and_health_says_so(running: Site, service: str) -> None:
    before = count_restarts(running, service)
    kill_inside(running.list_containers()[service])
    wait_for(lambda: count_restarts(running, service) > before, f"{service} is started again")
    assert f"restarted {before + 1} time" in find_detail(wait_healthy(running), service)
    assert running.run_well("chat", "ping").stdout.strip() == "pong"


@pytest.fixture
def stream(running: Site) -> Iterator[openai.Stream[ChatCompletionChunk]]:
    """An answer without an end, that has begun."""
    # Its own patience is ten minutes, and it does not ask again: what ends the stream is the gateway.
    client = openai.OpenAI(
        base_url=f"{running.url}/v1", api_key=running.keys["GATEWAY_KEY"], timeout=600, max_retries=0
    )
    found = client.chat.completions.create(
        model="local-chat", messages=[{"role": "user", "content": "Tick forever"}], temperature=0, stream=True
    )
    for _ in range(5):
        next(found)
    yield found
    client.close()


def assert_ends(stream: openai.Stream[ChatCompletionChunk]) -> None:
    """The client gets an error or the end of its stream; it does not wait for ever."""
    pool = ThreadPoolExecutor(1)
    try:
        failure = pool.submit(lambda: sum(1 for _ in stream)).exception(timeout=STREAM_DEADLINE_S)
    except TimeoutError:
        pytest.fail(f"the stream did not end within {STREAM_DEADLINE_S:g} s")
    finally:
        pool.shutdown(wait=False)
    assert failure is None or isinstance(failure, openai.APIError), failure


def test_streams_find_an_engine_that_got_another_address(running: Site) -> None:
    """As after an edit that creates it again: the gateway kept the old address for five minutes."""
    client = openai.OpenAI(
        base_url=f"{running.url}/v1", api_key=running.keys["GATEWAY_KEY"], timeout=STREAM_DEADLINE_S, max_retries=0
    )
    assert stream_answer(client) == ANSWERS["ping"], "the gateway has met the engine at its first address"
    engine = running.list_containers()["inference-chat"]
    (network,) = running.client.networks.list(names=[f"{running.name}_inference"])
    before = find_address(engine, network)
    network.disconnect(engine)
    # Somebody takes the address that is free now, so that the engine cannot have it again.
    holder = running.client.containers.run(
        IMAGES["BASE_IMAGE"], ["sleep", "600"], detach=True, network=network.name, remove=True, init=True
    )
    try:
        network.connect(engine, aliases=["inference-chat"])
        assert find_address(engine, network) != before
        assert stream_answer(client) == ANSWERS["ping"]
        assert "ok" in {item["status"] for item in wait_healthy(running) if item["layer"] == "stream"}
    finally:
        holder.remove(force=True)


def stream_answer(client: openai.OpenAI) -> str:
    """The model's answer to "ping", asked for as a stream."""
    pieces = client.chat.completions.create(
        model="local-chat", messages=[{"role": "user", "content": "ping"}], temperature=0, stream=True
    )
    return "".join(chunk.choices[0].delta.content or "" for chunk in pieces if chunk.choices)


def find_address(container: Container, network: Network) -> str:
    """The container's address in this network, as it is now."""
    container.reload()
    return str(container.attrs["NetworkSettings"]["Networks"][network.name]["IPAddress"])


def test_a_stream_whose_engine_dies_ends(running: Site, stream: openai.Stream[ChatCompletionChunk]) -> None:
    before = count_restarts(running, "inference-chat")
    kill_inside(running.list_containers()["inference-chat"])
    assert_ends(stream)
    wait_for(lambda: count_restarts(running, "inference-chat") > before, "the engine is started again")
    wait_healthy(running)


def test_a_stream_whose_engine_vanishes_ends(running: Site, stream: openai.Stream[ChatCompletionChunk]) -> None:
    """No last packet tells of its end, as when a host loses power, or a container its network before its process."""
    engine = running.list_containers()["inference-chat"]
    (network,) = running.client.networks.list(names=[f"{running.name}_inference"])
    network.disconnect(engine, force=True)
    try:
        assert_ends(stream)
    finally:
        network.connect(engine, aliases=["inference-chat"])
    wait_healthy(running)


def test_what_somebody_stopped_is_missed_by_health_and_started_by_up(running: Site) -> None:
    before = running.list_containers()
    before["api-gateway"].kill()
    code, report = running.load_health()
    assert code == 6
    failed = {(item["layer"], item["subject"]): item for item in report["results"] if item["status"] == "failed"}
    assert "exited with code 137" in failed["service", "api-gateway"]["detail"]
    assert "logs" in failed["service", "api-gateway"]["hint"]
    # The engines are well, and health does not say otherwise.
    assert not [subject for _, subject in failed if subject.startswith("inference")]
    running.run_well("up")
    assert running.list_ids() == {name: item.id for name, item in before.items()}
    wait_healthy(running)


def test_restart_of_one_service_leaves_the_others_alone(running: Site) -> None:
    before = {name: item.attrs["State"]["StartedAt"] for name, item in running.list_containers().items()}
    done = running.run_well("restart", "inference-embed")
    assert "inference-embed" in done.text
    after = {name: item.attrs["State"]["StartedAt"] for name, item in running.list_containers().items()}
    assert [name for name in after if after[name] != before[name]] == ["inference-embed"]
    # 'restart' returns when the stack is healthy, so this needs no waiting.
    assert running.load_health()[0] == 0


def pause(container: Container) -> None:
    """Pause it; a busy kernel refuses now and then, because a process is just being started in it."""

    def is_paused() -> bool:
        with suppress(APIError):
            container.pause()
        container.reload()
        return container.status == "paused"

    wait_for(is_paused, f"{container.name} is paused")


@pytest.mark.parametrize("service", ["inference-chat", "api-gateway"])
def test_a_paused_service_is_called_paused_and_nobody_waits_for_its_answers(running: Site, service: str) -> None:
    paused = running.list_containers()[service]
    pause(paused)
    try:
        code, report = running.load_health()
        shown = running.run("status").text
    finally:
        paused.unpause()
    assert code == 6
    found = {(item["layer"], item["subject"]): item for item in report["results"]}
    assert found["service", service]["status"] == "failed"
    assert found["service", service]["detail"].startswith("paused")
    assert found["service", service]["hint"] == "run 'stackctl up'"
    # A question to a frozen service is answered after the minute that an answer may take: it is not asked.
    assert "not asked" in found["completion", "local-chat"]["detail"]
    assert "paused" in shown
    wait_healthy(running)


def test_up_makes_a_paused_service_run_again(running: Site) -> None:
    before = running.list_ids()
    pause(running.list_containers()["inference-chat"])
    running.run_well("up")
    assert running.list_ids() == before
    assert running.load_health()[0] == 0
