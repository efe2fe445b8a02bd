"""The catalog: the file that ships, its reader, and which of its models fit a machine."""

from __future__ import annotations

import hashlib
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stackctl.core.models.catalog import Catalog, CatalogModel, parse_catalog
from stackctl.core.models.fit import GIB, Device
from stackctl.core.models.recommend import Candidate, Plan, build_plans, list_candidates
from stackctl.errors import ConfigError

MODELS = Path(__file__).parents[3] / "models"
TEXT = (MODELS / "catalog.yml").read_text(encoding="utf-8")
CATALOG = parse_catalog(TEXT)
ENTRY = """\
version: 1
models:
  tiny:
    repo: Acme/Tiny-GGUF
    revision: 0123456789012345678901234567890123456789
    evidence: published
    licence: MIT
    use: chat
    purpose: tests
    memory_gb: 6
    files:
      - {name: tiny.gguf, size_bytes: 10, sha256: unverified}
"""


def parse_entry(before: str = "", after: str = "") -> CatalogModel:
    assert before in ENTRY
    return parse_catalog(ENTRY.replace(before, after)).models["tiny"]


def recommend(
    memory_gb: float, *, is_gpu: bool = True, slots: int = 4
) -> tuple[tuple[Candidate, ...], tuple[Plan, ...]]:
    device = Device(int(memory_gb * GIB), is_gpu)
    candidates = list_candidates(CATALOG, device, slots, "f16")
    return candidates, build_plans(candidates, device, slots, "f16")


# The file that ships


def test_the_demo_entry_is_the_demo_model() -> None:
    (file,) = CATALOG.models["demo"].files
    data = (MODELS / file.name).read_bytes()
    assert (file.known_size, file.known_sha256) == (len(data), hashlib.sha256(data).hexdigest())


def test_the_guide_has_a_model_for_every_class_of_card_and_each_use() -> None:
    uses = {(model.use, model.memory_gb) for model in CATALOG.models.values()}
    assert {("code", gb) for gb in (6, 8, 16, 24, 40)} <= uses
    assert {("chat", gb) for gb in (6, 8, 16, 24)} <= uses
    assert any(use == "embedding" for use, _ in uses)


def test_every_model_fits_the_card_it_is_meant_for() -> None:
    for name, model in CATALOG.models.items():
        if model.use != "demo":
            found = {item.name: item for item in recommend(model.memory_gb)[0]}
            assert found[name].fits, f"{name} does not fit {model.memory_gb} GB"


def test_no_two_entries_claim_one_content() -> None:
    digests = [file.known_sha256 for model in CATALOG.models.values() for file in model.files if file.known_sha256]
    assert len(digests) == len(set(digests))


# The reader


def test_what_nobody_checked_is_no_figure() -> None:
    model = parse_entry("size_bytes: 10", "size_bytes: unverified")
    assert (model.size_bytes, model.files[0].known_sha256, model.build_header()) == (0, "", None)


@pytest.mark.parametrize(
    ("before", "after", "line", "words"),
    [
        ("licence: MIT", "license: MIT", 7, ["license", "did you mean 'licence'?"]),
        ("sha256: unverified", "sha256: abc", 12, ["sha256", "is 'abc'; expected 64"]),
        ("sha256: unverified", "sha265: unverified", 12, ["sha265", "did you mean 'sha256'?"]),
        ("size_bytes: 10", "size_bytes: about 4 GB", 12, ["size_bytes", "expected unverified"]),
        ("size_bytes: 10", "size_bytes: 0", 12, ["size_bytes", "is 0; expected at least 1"]),
        ("name: tiny.gguf", "name: ../tiny.gguf", 12, ["files.0.name"]),
        (
            "revision: 0123456789012345678901234567890123456789",
            "revision: main",
            5,
            ["revision", "is 'main'; expected a commit"],
        ),
        ("repo: Acme/Tiny-GGUF", "repo: Tiny-GGUF", 4, ["repo"]),
        ("    repo: Acme/Tiny-GGUF\n", "", 3, ["repo and revision are given together"]),
        ("use: chat", "use: talk", 8, ["use", "is 'talk'; expected one of"]),
        ("  tiny:", "  tiny: {}\n  tiny:", 4, ["stands twice"]),
        ("version: 1", "version: 2", 1, ["version"]),
        ("version: 1", "version: [", 3, ["is not valid YAML"]),
    ],
)
def test_a_mistake_is_told_with_its_line(before: str, after: str, line: int, words: list[str]) -> None:
    with pytest.raises(ConfigError) as caught:
        parse_entry(before, after)
    text = str(caught.value)
    assert f"models/catalog.yml:{line}: " in text
    for word in words:
        assert word in f"{text}\n{[finding.hint for finding in caught.value.findings]}"


def test_an_entry_without_files_is_refused() -> None:
    with pytest.raises(ConfigError, match="at least one file"):
        parse_entry("    files:\n      - {name: tiny.gguf, size_bytes: 10, sha256: unverified}\n", "    files: []\n")


@given(st.text(max_size=200))
def test_any_text_is_a_catalog_or_a_config_error(text: str) -> None:
    with suppress(ConfigError):
        assert isinstance(parse_catalog(text), Catalog)


# What fits


@pytest.mark.parametrize(
    ("memory_gb", "code", "chat"),
    [
        (4, "qwen2.5-coder-1.5b", "qwen3-4b"),
        (6, "qwen2.5-coder-7b", "qwen3-4b"),
        (8, "qwen2.5-coder-7b", "qwen3-8b"),
        (16, "qwen2.5-coder-14b", "qwen3-14b"),
        (24, "qwen2.5-coder-32b", "qwen3-32b"),
        (40, "qwen2.5-coder-32b-q8", "qwen3-32b"),
    ],
)
def test_the_plan_for_a_card(memory_gb: int, code: str, chat: str) -> None:
    plans = {plan.use: plan for plan in recommend(memory_gb)[1]}
    assert (plans["code"].names[0], plans["chat"].names[0]) == (code, chat)


def test_a_plan_never_needs_more_than_there_is() -> None:
    for memory_gb in range(2, 81, 2):
        candidates, plans = recommend(memory_gb)
        by_name = {item.name: item for item in candidates}
        for plan in plans:
            main = by_name[plan.names[0]]
            assert main.fit is not None
            assert main.fit.needed_bytes <= memory_gb * GIB


def test_fewer_slots_are_said_when_the_configured_ones_do_not_fit() -> None:
    (plan,) = [plan for plan in recommend(24, slots=8)[1] if plan.use == "code"]
    assert plan.env_lines[0] == "CODE_MODEL=qwen2.5-coder-32b-instruct-q4_k_m.gguf"
    assert plan.env_lines[1] == "INFERENCE_SLOTS=1"


def test_an_embedding_model_is_put_beside_where_there_is_room() -> None:
    (plan,) = [plan for plan in recommend(48)[1] if plan.use == "chat"]
    assert plan.names == ("qwen3-32b", "qwen3-embedding-0.6b")
    assert any("mode: embedding" in line for line in plan.stack_lines)


def test_a_cpu_is_given_what_it_can_read_in_time() -> None:
    candidates, plans = recommend(64, is_gpu=False)
    assert {plan.names[0] for plan in plans} == {"qwen2.5-coder-7b", "qwen3-8b"}
    assert {item.note for item in candidates if item.name == "qwen3-32b"} == {"slow on a CPU"}


def test_nothing_is_planned_where_nothing_fits() -> None:
    assert recommend(1)[1] == ()


def test_an_entry_without_figures_is_named_and_not_judged() -> None:
    catalog = parse_catalog(ENTRY)
    (candidate,) = list_candidates(catalog, Device(100 * GIB, True), 4, "f16")
    assert (candidate.fits, candidate.note) == (False, "its size or shape is not verified")
    assert build_plans((candidate,), Device(100 * GIB, True), 4, "f16") == ()
