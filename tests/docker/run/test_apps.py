"""Apps as containers: the rendered service runs locked down, answers its probe, and is reached by the gateway alone."""

from __future__ import annotations

from pathlib import Path

import httpx
import pytest

from tests.docker.commands import COMMAND_DEADLINE_S
from tests.docker.redis_image import build_redis_image
from tests.docker.sites import Site, run_inside
from tests.waiting import wait_for

pytestmark = pytest.mark.docker

PASSWORD = "planted-redis-password"


def find_app(site: Site) -> tuple[str, str]:
    """What health says of redis."""
    report = site.load_health()[1]
    return next((item["status"], item["detail"]) for item in report["results"] if item["layer"] == "app")


def find_limits(site: Site) -> str:
    headers = {"Authorization": f"Bearer {site.keys['GATEWAY_ADMIN_KEY']}"}
    answer = httpx.get(f"{site.url}/health", headers=headers, timeout=COMMAND_DEADLINE_S)
    return str(answer.json()["limits"]["status"])


def ask(site: Site, key: str) -> int:
    body = {"model": "local-chat", "messages": [{"role": "user", "content": "ping"}], "max_tokens": 2}
    headers = {"Authorization": f"Bearer {key}"}
    url = f"{site.url}/v1/chat/completions"
    return httpx.post(url, json=body, headers=headers, timeout=COMMAND_DEADLINE_S).status_code


def test_the_app_redis_counts_the_gateway_s_limits_and_keeps_them(stopped: Site, tmp_path: Path) -> None:
    image = build_redis_image(tmp_path)
    stopped.set(STACK_APPS="redis", REDIS_IMAGE=image, REDIS_PASSWORD=PASSWORD)
    stopped.run_well("up")
    assert find_app(stopped) == ("ok", "answers PING")
    wait_for(lambda: find_limits(stopped) == "ok", "limits to be shared")

    redis = stopped.list_containers()["redis"]
    assert redis.attrs["NetworkSettings"]["Ports"] in ({}, {"6379/tcp": None})
    assert redis.attrs["Config"]["User"] == "999:999"
    assert PASSWORD not in str(redis.attrs["Config"]["Cmd"]) + redis.logs().decode()
    engine = stopped.list_containers()["inference-chat"]
    code, _ = run_inside(engine, "sh", "-c", "getent hosts redis || exit 7")
    assert code == 7, "no engine knows of it"

    (key,) = stopped.run_well(
        "keys", "create", "ada", "--budget-tokens", "100000/month", "--rpm", "1"
    ).stdout.splitlines()
    wait_for(lambda: ask(stopped, key) == 200, "the key to be known")
    assert ask(stopped, key) == 429

    redis.pause()
    try:
        wait_for(lambda: find_limits(stopped) == "away", "the gateway to notice")
        assert find_app(stopped)[0] == "failed"
    finally:
        redis.unpause()
    wait_for(lambda: find_limits(stopped) == "ok", "limits to be shared again")

    stopped.run_well("down")
    assert stopped.list_remains() == [f"volume {stopped.name}_redis-data"]
    assert {name.rpartition("_")[2] for name in stopped.list_volumes()} == {"gateway-state", "redis-data"}
    stopped.run_well("up")
    wait_for(lambda: find_limits(stopped) == "ok", "limits to be shared")
    asked = 'REDISCLI_AUTH="$REDIS_PASSWORD" redis-cli -p "$REDIS_PORT" hget "gateway:limits:key ada:b" used'
    code, used = run_inside(stopped.list_containers()["redis"], "sh", "-c", asked)
    assert (code, int(used) > 0) == (0, True), "the budget outlives the containers"
