"""The table of usage at running gateways: to the token over several workers, when some are killed, and at a stop."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from stackctl.adapters.http.stand_in import run_stand_in
from stackctl.adapters.process.drill_gateway import DrillGateway
from tests.integration.gateway.drilled import run_gateway
from tests.soak.counted import run_counted

REQUESTS = 400
# A busy machine may be slow; the long run holds the tenth of a second.
LOSS_S = 2.0
PROMPT = "planted-prompt-51c0"
FINISHED = 20


def test_the_table_says_what_the_providers_counted(tmp_path: Path) -> None:
    report = run_counted(tmp_path / "state", REQUESTS, kills=0, loss_s=0.0)
    assert report.problems == []
    assert report.rows[0] > REQUESTS * 9 // 10
    assert report.told.prompt > 100 * REQUESTS
    assert report.ends["200 ok"] > REQUESTS // 2
    assert report.ends["499 client_disconnected"] > 0


def test_a_killed_worker_loses_nothing_older(tmp_path: Path) -> None:
    report = run_counted(tmp_path / "state", REQUESTS, kills=3, loss_s=LOSS_S)
    assert report.problems == []
    assert report.rows[0] > REQUESTS * 3 // 4


def write_configuration(url: str, *names: str) -> str:
    models = [
        {
            "model_name": name,
            "litellm_params": {"model": f"openai/{name}", "api_base": f"{url}/v1", "api_key": "k"},
            "model_info": {"mode": "chat"},
        }
        for name in names
    ]
    own = {
        "providers": {"near": {"kind": "openai-compatible", "local": True}},
        "models": {name: {"provider": "near"} for name in names},
        "routes": {name: {"targets": [name], "retries": 0, "deadline_s": 60} for name in names},
    }
    return json.dumps({"model_list": models, "gateway": own})


def read_rows(folder: Path) -> list[dict[str, Any]]:
    with closing(sqlite3.connect(folder / "gateway.db")) as connection:
        connection.row_factory = sqlite3.Row
        return [dict(row) for row in connection.execute("SELECT * FROM usage ORDER BY id")]


def build_body(model: str) -> dict[str, Any]:
    return {"model": model, "stream": True, "messages": [{"role": "user", "content": PROMPT}]}


@pytest.mark.parametrize("workers", [1, 3])
def test_a_stop_loses_nothing_not_even_what_it_cuts(tmp_path: Path, workers: int) -> None:
    with run_stand_in() as provider:
        configuration = write_configuration(provider.url, "ok", "hang-between-tokens")
        environment = {
            "GATEWAY_WORKERS": str(workers),
            "GATEWAY_SHUTDOWN_S": "1",
            "GATEWAY_STATE": str(tmp_path / "state"),
        }
        with run_gateway(configuration, **environment) as gateway:
            asyncio.run(_ask_until_stopped(gateway))
    rows = read_rows(tmp_path / "state")
    assert [row["outcome"] for row in rows].count("ok") == FINISHED
    (cut,) = [row for row in rows if row["model"] == "hang-between-tokens"]
    assert (cut["status"], cut["outcome"], cut["is_estimate"]) == (200, "shutting_down", 1)
    assert cut["prompt_tokens"] > 0
    assert PROMPT.encode() not in b"".join(file.read_bytes() for file in (tmp_path / "state").iterdir())


async def _ask_until_stopped(gateway: DrillGateway) -> None:
    """Begin an answer that never ends, finish others, and end the gateway at once."""
    headers = {"authorization": f"Bearer {gateway.key}"}
    path = f"{gateway.url}/v1/chat/completions"
    async with aiohttp.ClientSession(headers=headers) as session:
        hanging = await session.post(path, json=build_body("hang-between-tokens"))
        assert await hanging.content.readline()
        for _ in range(FINISHED):
            async with session.post(path, json=build_body("ok")) as answer:
                await answer.read()
        os.kill(gateway.pid, signal.SIGTERM)
        assert b'"code":"shutting_down"' in await hanging.read()
