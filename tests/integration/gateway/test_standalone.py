"""LiteLLM's own proxy, of the version that the gateway is locked to, serves the same routes: nobody is locked in."""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from stackctl.adapters.files.site_files import find_cache_dir
from stackctl.adapters.process.environments import find_environment, make_environment
from tests.integration.gateway.drilled import run_gateway
from tests.integration.stack_site import ANSWERS, DEADLINE_S, REPOSITORY, Site, clean_environment
from tests.ports import claim_ports
from tests.waiting import wait_for

LOCK = REPOSITORY / "tests" / "litellm_proxy" / "requirements.lock"
ROUTES = """\
version: 1
providers:
  gone:
    kind: openai-compatible
    api_base: http://127.0.0.1:9/v1
    timeouts: {whole: 5}
    models: {away: {model: away}}
routes:
  away: {fallbacks: [local-chat], retries: 0}
  team: {targets: [away], fallbacks: [local-chat], retries: 0}
  local-chat: {defaults: {temperature: 0, max_tokens: 64}}
aliases:
  claude-*: local-chat
"""


@pytest.fixture(scope="module")
def beside(stack: Site, tmp_path_factory: pytest.TempPathFactory) -> Site:
    """A site with the running one's ports and keys, and routes of its own: what is rendered there starts nothing."""
    site = Site(tmp_path_factory.mktemp("beside"))
    (site.path / ".env").write_text((stack.path / ".env").read_text(encoding="utf-8"), encoding="utf-8")
    (site.path / "stack.yml").write_text(ROUTES, encoding="utf-8")
    site.run("render")
    (site.path / "litellm.yaml").write_text(site.run("render", "--litellm").stdout, encoding="utf-8")
    return site


@pytest.fixture(scope="module")
def gateway(stack: Site, beside: Site) -> Iterator[httpx.Client]:
    """The stack's own gateway with those routes."""
    config = (beside.state / "rendered" / "config.p1.yaml").read_text(encoding="utf-8")
    variables = read_variables(beside.path / "litellm.yaml", stack)
    with run_gateway(config, **variables | {"GATEWAY_KEY": "a-key-of-this-test"}) as running:
        headers = {"Authorization": "Bearer a-key-of-this-test"}
        with httpx.Client(base_url=running.url, headers=headers, timeout=DEADLINE_S) as client:
            yield client


@pytest.fixture(scope="module")
def proxy(stack: Site, beside: Site) -> Iterator[httpx.Client]:
    """A running proxy in front of the stack's engines, and a client with the site's key."""
    config = beside.path / "litellm.yaml"
    environment = find_environment(find_cache_dir(os.environ), LOCK, {})
    make_environment(environment, LOCK, {}, "", print)
    port = claim_ports()[0]
    log = beside.path / "litellm.log"
    with log.open("wb") as file:
        process = subprocess.Popen(
            [environment / "bin" / "litellm", "--config", config, "--host", "127.0.0.1", "--port", str(port)],
            cwd=beside.path,
            env=clean_environment(**read_variables(config, stack), LITELLM_LOCAL_MODEL_COST_MAP="True"),
            stdout=file,
            stderr=subprocess.STDOUT,
        )
    headers = {"Authorization": f"Bearer {stack.keys['GATEWAY_KEY']}"}
    try:
        with httpx.Client(base_url=f"http://127.0.0.1:{port}", headers=headers, timeout=DEADLINE_S) as client:
            wait_for(lambda: process.poll() is not None or is_alive(client), "LiteLLM's proxy", DEADLINE_S)
            assert process.poll() is None, log.read_text(encoding="utf-8")
            yield client
    finally:
        process.terminate()
        process.wait(DEADLINE_S)


def read_variables(config: Path, stack: Site) -> dict[str, str]:
    """The variables that the file's own first lines name: addresses there, secrets in `.env`."""
    head = config.read_text(encoding="utf-8").partition("model_list:")[0]
    addresses = dict(re.findall(r"^#   ([A-Z_]+)=(\S+) \(", head, re.MULTILINE))
    secrets = re.search(r"variables of \.env: (.*)", head)
    assert secrets
    return addresses | {name: stack.settings[name] for name in secrets[1].split()}


def is_alive(client: httpx.Client) -> bool:
    try:
        return client.get("/health/liveliness").status_code == 200
    except httpx.HTTPError:
        return False


@pytest.mark.parametrize("model", ["local-chat", "claude-sonnet-4-5", "away", "team"])
@pytest.mark.parametrize("server", ["gateway", "proxy"])
def test_both_answer_under_every_name(request: pytest.FixtureRequest, server: str, model: str) -> None:
    """``away`` and ``team`` are answered by a fallback, ``claude-sonnet-4-5`` by an alias with a star."""
    question, answer = next(iter(ANSWERS.items()))
    asked = {"model": model, "messages": [{"role": "user", "content": question}]}
    reply = request.getfixturevalue(server).post("/v1/chat/completions", json=asked)
    assert reply.status_code == 200, reply.text
    assert server == "proxy" or reply.json()["model"] == model
    assert reply.json()["choices"][0]["message"]["content"].strip() == answer


def test_the_stock_proxy_answers_in_anthropics_format_and_embeds(proxy: httpx.Client) -> None:
    question, answer = next(iter(ANSWERS.items()))
    messages = [{"role": "user", "content": question}]
    reply = proxy.post("/v1/messages", json={"model": "local-chat", "max_tokens": 32, "messages": messages})
    assert reply.status_code == 200, reply.text
    assert answer in reply.json()["content"][0]["text"]
    reply = proxy.post("/v1/embeddings", json={"model": "local-embed", "input": "a"})
    assert reply.status_code == 200, reply.text
    assert reply.json()["data"][0]["embedding"]


def test_the_stock_proxy_wants_the_sites_key(proxy: httpx.Client) -> None:
    asked = {"model": "local-chat", "messages": [{"role": "user", "content": "a"}]}
    reply = proxy.post("/v1/chat/completions", json=asked, headers={"Authorization": "Bearer sk-wrong"})
    assert 400 <= reply.status_code < 500
