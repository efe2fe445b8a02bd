"""Providers: ask each provider and each engine whether it works, and the gateway what it has seen of them.

In: a site, running or not. Out: a ``ProvidersReport``. Does I/O through its effects. Nothing that costs money is asked
unless that is wanted.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from stackctl.core.gateway.providers import RemoteEndpoint
from stackctl.core.health.probes import Status
from stackctl.core.health.provider_questions import Question, ask_models, ask_token, find_base, rename_limit
from stackctl.core.health.providers import (
    GatewayView,
    ProviderReply,
    ProviderResult,
    State,
    join_views,
    judge_engine_answer,
    judge_provider,
    judge_token,
    read_gateway_view,
    wants_new_limit,
)
from stackctl.core.settings.places import find_gateway_url
from stackctl.core.settings.stackfile import StackFile
from stackctl.core.stack.stack import Service
from stackctl.errors import NotRunning
from stackctl.operations.effects import Effects
from stackctl.operations.site.load import load_site
from stackctl.operations.site.running import Running, load_running

TIMEOUT_S = 10.0
TEST_TIMEOUT_S = 60.0
Ask = Callable[[Question, float, Path | None], ProviderReply]


@dataclass(frozen=True, slots=True)
class ProvidersReport:
    """What is behind the gateway.

    Attributes:
        results: providers first, then engines, in the order of the files.
        remarks: what a person should know of the whole.
    """

    results: tuple[ProviderResult, ...]
    remarks: tuple[str, ...] = ()

    @property
    def status(self) -> Status:
        """Failed if anything failed, else loading if anything loads, else ok; as health's."""
        seen = {result.status for result in self.results}
        return next((status for status in (Status.FAILED, Status.LOADING) if status in seen), Status.OK)


def check_providers(effects: Effects, ask: Ask, *, tests: bool = False) -> ProvidersReport:
    """Ask everything at the same time.

    Args:
        ask: sends a question to a provider.
        tests: whether each model is asked for one token, too.
    """
    try:
        running: Running | None = load_running(effects)
    except NotRunning:
        running = None
    loaded = running.loaded if running else load_site(effects)
    views = _load_views(effects, running) if running else None
    by_provider: dict[str, list[RemoteEndpoint]] = {}
    for endpoint in loaded.choose_stack(running.runtime.name if running else "process").endpoints:
        by_provider.setdefault(endpoint.provider, []).append(endpoint)
    bundle = loaded.settings.gateway_ca_bundle
    ca_bundle = effects.paths.site / bundle if bundle else None
    remote = _Remote(loaded.stackfile, loaded.resolved.variables, ask, tests, running, ca_bundle)
    jobs: list[Callable[[], ProviderResult]] = [partial(remote.check, items) for items in by_provider.values()]
    if running:
        engines = [service for service in running.plan.services if service.model]
        jobs += [partial(_check_engine, effects, running, service, tests) for service in engines]
    results = _run_jobs(jobs)
    if views is not None:
        results = [replace(item, seen=join_views(views[n] for n in item.models if n in views)) for item in results]
    return ProvidersReport(tuple(results), tuple(_list_remarks(running, views, by_provider)))


def _run_jobs(jobs: Sequence[Callable[[], ProviderResult]]) -> list[ProviderResult]:
    """Run all at once; an interruption waits for none of them."""
    pool = ThreadPoolExecutor(max(len(jobs), 1))
    try:
        return [job.result() for job in [pool.submit(job) for job in jobs]]
    finally:
        pool.shutdown(wait=False, cancel_futures=True)


@dataclass(frozen=True, slots=True)
class _Remote:
    """What every provider is asked with."""

    stackfile: StackFile
    variables: Mapping[str, str]
    ask: Ask
    tests: bool
    running: Running | None
    ca_bundle: Path | None

    def check(self, endpoints: Sequence[RemoteEndpoint]) -> ProviderResult:
        """Ask one provider for its models, and each model for a token where that is wanted."""
        first = endpoints[0]
        kind = self.stackfile.providers[first.provider].kind
        result = ProviderResult(
            name=first.provider,
            kind=kind,
            address=find_base(kind, first.url),
            models=tuple(item.served_name for item in endpoints),
            state=State.UNREACHABLE,
            remark=self._explain_address(first),
        )
        reply = self.ask(ask_models(kind, first, self.variables), TIMEOUT_S, self.ca_bundle)
        models = [item.litellm_model.partition("/")[2] for item in endpoints]
        judged = judge_provider(result, self._mask(reply), models, first.key_variable)
        if self.tests and judged.status in (Status.OK, Status.WARNING):
            for item in endpoints:
                judged = judge_token(judged, item.served_name, self._mask(self._ask_token(kind, item)))
        return judged

    def _ask_token(self, kind: str, endpoint: RemoteEndpoint) -> ProviderReply:
        question = ask_token(kind, endpoint, self.variables)
        reply = self.ask(question, TEST_TIMEOUT_S, self.ca_bundle)
        if wants_new_limit(reply):
            return self.ask(rename_limit(question), TEST_TIMEOUT_S, self.ca_bundle)
        return reply

    def _mask(self, reply: ProviderReply) -> ProviderReply:
        """The reply without our secrets: some servers repeat the key that they refuse."""
        body = reply.body
        for value in filter(None, self.variables.values()):
            body = body.replace(value, "***")
        return replace(reply, body=body)

    def _explain_address(self, endpoint: RemoteEndpoint) -> str:
        in_container = self.running is not None and self.running.runtime.name == "compose"
        if not (in_container and endpoint.is_on_this_machine):
            return ""
        return f"asked from this machine; the gateway's container reaches it at {endpoint.find_url(in_container=True)}"


def _check_engine(effects: Effects, running: Running, service: Service, tests: bool) -> ProviderResult:
    model = service.model
    assert model is not None
    is_process = running.runtime.name == "process"
    host = "127.0.0.1" if is_process else service.name
    empty = ProviderResult(
        name=service.name,
        kind="engine",
        address=f"http://{host}:{service.port}/v1",
        models=(model.served_name,),
        state=State.UNREACHABLE,
    )
    answer = running.runtime.fetch(service, service.health_path, running.plan.secrets[service.name], TIMEOUT_S)
    judged = judge_engine_answer(empty, answer)
    if not tests or judged.status not in (Status.OK, Status.WARNING):
        return judged
    # An engine in a container is reached through the gateway alone.
    url, key = find_gateway_url(running.plan.stack.settings), running.plan.variables["GATEWAY_KEY"]
    endpoint = RemoteEndpoint(
        model.served_name, service.name, f"engine/{model.served_name}", model.mode, f"{url}/v1", "", (), None
    )
    question = ask_token("engine", endpoint, {})
    path = question.url.removeprefix(url)
    given = effects.network.fetch(f"{url}{path}", key=key, timeout_s=TEST_TIMEOUT_S, body=question.body)
    reply = ProviderReply(given.status, given.body, detail=given.error, elapsed_s=given.elapsed_s)
    return judge_token(judged, model.served_name, reply)


def _load_views(effects: Effects, running: Running) -> dict[str, GatewayView] | None:
    """What the gateway has seen of each target; ``None`` where it does not answer."""
    url, key = find_gateway_url(running.plan.stack.settings), running.plan.variables["GATEWAY_ADMIN_KEY"]
    answer = effects.network.fetch(f"{url}/health", key=key, timeout_s=TIMEOUT_S)
    return read_gateway_view(answer.body) if answer.status == 200 else None


def _list_remarks(
    running: Running | None, views: Mapping[str, GatewayView] | None, providers: Mapping[str, object]
) -> list[str]:
    remarks = []
    if running is None:
        remarks.append("the stack is not running: its engines and its gateway were not asked")
    elif views is None:
        remarks.append("the gateway does not answer: what it has seen is not known; run 'stackctl health'")
    if not providers:
        remarks.append("stack.yml names no provider")
    return remarks
