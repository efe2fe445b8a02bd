"""kill -9 in the middle of a call, of the gateway and of the engine: a problem with a name, and the next call works."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from tests.integration.agents.service import ANALYSIS, PROBLEM, Agents, kill, run_agents
from tests.integration.conftest import MakeSite
from tests.integration.stack_site import CHAT_SERVICE, GATEWAY_SERVICE
from tests.waiting import wait_for


def test_a_service_that_is_killed_in_the_middle_is_a_problem_with_a_name(make_site: MakeSite, tmp_path: Path) -> None:
    site = make_site()
    site.run("up")
    with run_agents(tmp_path, site.url, site.keys["GATEWAY_KEY"]) as agents, ThreadPoolExecutor(1) as pool:
        for service, codes in (
            (CHAT_SERVICE, {"model_unavailable", "ok"}),
            (GATEWAY_SERVICE, {"gateway_unreachable"}),
        ):
            pid = site.find_pids()[service]
            asked = pool.submit(agents.ask, ANALYSIS, PROBLEM)
            wait_for(lambda: is_under_way(agents), "a call under way")
            kill(pid)
            answer = asked.result()
            # The gateway may ask a new engine again before the call's time is over.
            assert answer.json().get("code", "ok") in codes
            assert answer.status_code in (200, 503)
            site.wait_healthy()
            assert agents.ask(ANALYSIS, PROBLEM).status_code == 200
        assert agents.process.poll() is None


def is_under_way(agents: Agents) -> bool:
    return "agents_calls_under_way 1.0" in agents.get("/metrics").text
