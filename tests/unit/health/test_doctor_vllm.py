"""Whether vLLM's share of a GPU is there, and what the weights leave of it holds."""

from __future__ import annotations

from dataclasses import replace

import pytest

from stackctl.core.health.doctor_input import DoctorInput, ModelEntry, VllmEntry
from stackctl.core.health.doctor_models import check_memory
from stackctl.core.machine.gpu import Gpu
from stackctl.core.machine.host import Choice, Host
from stackctl.core.models.files import ModelFile
from stackctl.core.models.folder import ModelFolder
from stackctl.errors import Finding, Severity
from tests.gguf_files import build_header

GIB = 1 << 30
GPU = Gpu("nvidia", 0, "NVIDIA A10", memory_total_bytes=24 * GIB)
# 8B parameters of two bytes; 128 KiB of KV cache a token.
HEADER = build_header(is_folder=True, tensor_bytes=16 * GIB, size_bytes=16 * GIB, context_length=131_072)


def build_entry(
    name: str = "chat", share: float = 0.9, gpus: int = 1, slots: int = 4, context: int = 4096
) -> ModelEntry:
    folder = ModelFolder(f"/models/{name}", (), {"config.json": "{}"})
    files = (ModelFile(folder.path, HEADER, folder=folder),)
    place = f"models.{name}.file"
    return ModelEntry(name, place, folder.path, files, "chat", context, slots, vllm=VllmEntry(share, gpus))


def check(*entries: ModelEntry, gpus: tuple[Gpu, ...] = (GPU,)) -> list[Finding]:
    facts = DoctorInput(Host(gpus=gpus), gpu=Choice("nvidia", "there"), models=entries)
    return [item for item in check_memory(facts) if item.subject == "GPU memory"]


@pytest.mark.parametrize(
    ("entry", "severity", "words"),
    [
        (build_entry(), Severity.OK, "vLLM takes 21.6 GiB (90% of 1 GPU): weights 16.0"),
        (build_entry(), Severity.OK, "contexts of 4096 tokens"),
        (build_entry(slots=64), Severity.WARNING, "64 slots may share it"),
        (build_entry(context=131_072), Severity.ERROR, "one context of 131072 tokens takes 16.0 GiB"),
        (build_entry(share=0.7), Severity.ERROR, "which holds no context"),
        (build_entry(gpus=2), Severity.ERROR, "spread over 2 GPUs, of which 1 can be used"),
    ],
)
def test_a_share_is_judged_by_what_it_holds(entry: ModelEntry, severity: Severity, words: str) -> None:
    (finding,) = check(entry)
    assert (finding.severity, words in finding.message) == (severity, True), finding


def test_the_context_that_is_proposed_fits() -> None:
    (finding,) = check(build_entry(context=131_072))
    largest = int(finding.hint.split("=")[1].split()[0])
    assert finding.hint.startswith("set models.chat.context_length=")
    (again,) = check(build_entry(context=largest, slots=1))
    assert again.severity is Severity.OK


def test_a_share_that_others_hold_is_refused_with_one_that_fits() -> None:
    (finding,) = check(build_entry(), gpus=(replace(GPU, memory_used_bytes=12 * GIB),))
    assert "12.0 GiB are free: it would refuse to start" in finding.message
    assert finding.hint.startswith("set models.chat.gpu_memory to 0.5 or less")


def test_shares_that_together_are_more_than_the_gpu_are_refused() -> None:
    found = check(build_entry("a", 0.9), build_entry("b", 0.9))
    assert any("more than one GPU has: a 90%, b 90%" in item.message for item in found)


def test_spread_over_two_it_has_both() -> None:
    (finding,) = check(build_entry(gpus=2, slots=32), gpus=(GPU, replace(GPU, index=1)))
    assert "vLLM takes 43.2 GiB (90% of 2 GPUs)" in finding.message


def test_what_it_takes_is_not_there_for_llama_cpp() -> None:
    header = build_header(tensor_bytes=4 * GIB)
    other = ModelEntry(
        "code", "CODE_MODEL", "/models/c.gguf", (ModelFile("/models/c.gguf", header),), context_length=4096
    )
    findings = check(build_entry(), other)
    assert any("of 2.4 GiB" in item.message for item in findings)
