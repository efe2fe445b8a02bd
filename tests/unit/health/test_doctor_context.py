"""What agents need against the context that models have, and what more of it costs."""

from __future__ import annotations

from dataclasses import replace

import pytest

from stackctl.core.health.doctor_context import check_agents, count_context
from stackctl.core.health.doctor_input import AgentNeed, DoctorInput, ModelEntry, VllmEntry
from stackctl.core.models.files import ModelFile
from stackctl.core.models.fit import Device, build_fit
from stackctl.errors import Finding, Severity
from tests.doctor_facts import GIB, NVIDIA, build_entry, build_host
from tests.gguf_files import build_header

AGENTS = (AgentNeed("Claude Code", 24_576), AgentNeed("Zed", 16_384), AgentNeed("aider", 4096))


def build(*entries: ModelEntry, **changes: object) -> DoctorInput:
    facts = DoctorInput(build_host(), models=entries, agents=AGENTS)
    return replace(facts, **changes)  # type: ignore[arg-type]


def make(
    name: str = "local-chat", setting: str = "CHAT_MODEL", trained: int = 131_072, **changes: object
) -> ModelEntry:
    path = f"/models/{name}.gguf"
    file = ModelFile(path, build_header(context_length=trained))
    return build_entry(setting, name, files=(file,), **changes)


def warn(*entries: ModelEntry, **changes: object) -> list[Finding]:
    found = check_agents(build(*entries, **changes))
    assert all(finding.severity is Severity.WARNING for finding in found)
    return list(found)


def test_what_is_too_short_is_named_with_the_setting_and_its_cost() -> None:
    (found,) = warn(make(context_length=8192))
    assert found.subject == "CONTEXT_LENGTH"
    assert found.message.startswith("local-chat: 8,192 tokens, and an agent's first request has about 24,576")
    assert "(Claude Code, Zed)" in found.message
    assert found.hint.startswith("set CONTEXT_LENGTH=32768 in .env and run 'stackctl up': it takes ")


def test_the_cost_is_the_one_of_the_model_s_own_header() -> None:
    entry = make(context_length=8192)
    need = count_context(build(entry), "local-chat", 24_576)
    fits = [build_fit(entry.files[0].header, tokens, 4, Device(0)) for tokens in (8192, 32_768)]  # type: ignore[arg-type]
    assert need
    assert need.more_bytes == fits[1].used_bytes - fits[0].used_bytes > 0
    assert need.needed_bytes == fits[1].needed_bytes
    assert need.device == "memory"


def test_every_model_that_the_setting_is_for_is_counted() -> None:
    one, other = make(context_length=8192), make("local-code", "CODE_MODEL", context_length=8192)
    alone = count_context(build(one), "local-chat", 24_576)
    both = count_context(build(one, other), "local-chat", 24_576)
    own = make("mine", "models.mine.file", context_length=8192)
    beside = count_context(build(one, own), "local-chat", 24_576)
    more = [need.more_bytes for need in (alone, both, beside) if need and need.more_bytes]
    assert more == [more[0], 2 * more[0], more[0]]
    (found,) = warn(one, other)
    assert found.message.startswith("local-chat and local-code: 8,192 tokens")


def test_a_model_of_stack_yml_has_a_key_of_its_own() -> None:
    (found,) = warn(make("mine", "models.mine.file", context_length=8192))
    assert found.hint.startswith("set models.mine.context_length: 32768 in stack.yml")


def test_what_does_not_fit_is_said() -> None:
    host = build_host(memory_available_bytes=GIB)
    (found,) = warn(make(context_length=8192), host=host)
    assert "fewer INFERENCE_SLOTS or KV_CACHE_TYPE=q8_0" in found.hint


def test_where_nobody_knows_the_memory_only_the_cost_is_said() -> None:
    (found,) = warn(make(context_length=8192), host=build_host(memory_total_bytes=0))
    assert found.hint.endswith(" GiB more")


def test_on_a_gpu_its_memory_is_named() -> None:
    (found,) = warn(make(context_length=8192), gpu=NVIDIA)
    assert "GiB GPU memory in all" in found.hint


@pytest.mark.parametrize("trained", [8192, 24_575])
def test_a_model_that_was_trained_for_less_cannot_be_raised(trained: int) -> None:
    (found,) = warn(make(trained=trained))
    assert f"was trained for {trained:,}" in found.hint
    assert "models recommend" in found.hint


def test_no_more_than_it_was_trained_for_is_proposed() -> None:
    (found,) = warn(make(trained=28_672))
    assert "CONTEXT_LENGTH=28672" in found.hint


def test_vllm_takes_it_from_its_share() -> None:
    (found,) = warn(make(context_length=8192, vllm=VllmEntry(0.9)))
    assert "its share of the GPU's memory" in found.hint


@pytest.mark.parametrize(
    "entry",
    [
        make(context_length=32_768),
        make(context_length=8192, tools=False),  # no agent can use it
        make(context_length=8192, mode="embedding"),
        build_entry(files=()),
    ],
)
def test_where_no_agent_is_in_need_nothing_is_said(entry: ModelEntry) -> None:
    assert warn(entry) == []
