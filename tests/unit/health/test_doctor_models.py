"""Whether models fit together, in memory and on their disk."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from stackctl.adapters.models.gguf import load_model_files
from stackctl.core.health.doctor_input import DoctorInput, FileFacts
from stackctl.core.health.doctor_models import build_context_advice
from stackctl.core.machine.host import DiskSpace
from tests.doctor_facts import CARD, GIB, NVIDIA, build_entry, build_host, check, find_line
from tests.gguf_files import write_model

MIB = 1 << 20


def test_a_model_too_large_for_the_host_is_told_the_context_that_fits() -> None:
    facts = DoctorInput(build_host(gpus=(), memory_available_bytes=9 * GIB), models=(build_entry(),))
    line = find_line(check(facts), "error: memory")
    assert "KV cache 4.0" in line
    assert "of 8.6 GiB" in line
    advice = build_context_advice(facts)
    assert f"set CONTEXT_LENGTH={advice['CONTEXT_LENGTH']} (the largest that fits)" in line
    cured = replace(facts, models=(build_entry(context_length=advice["CONTEXT_LENGTH"]),))
    assert "ok: memory" in check(cured)
    beyond = replace(facts, models=(build_entry(context_length=advice["CONTEXT_LENGTH"] + 256),))
    assert "ok: memory" not in check(beyond)


def test_weights_that_do_not_fit_at_all_need_another_model() -> None:
    facts = DoctorInput(build_host(gpus=(), memory_available_bytes=4 * GIB), models=(build_entry(),))
    assert "use a smaller or more quantised model" in find_line(check(facts), "error: memory")
    assert build_context_advice(facts) == {}


def test_several_models_share_the_memory() -> None:
    models = (build_entry(), build_entry("models.coder.file", "coder", context_length=16_384))
    alone = DoctorInput(build_host(gpus=(), memory_available_bytes=16 * GIB), models=models[:1])
    both = replace(alone, models=models)
    assert "ok: memory" in check(alone)
    line = find_line(check(both), "error: memory")
    assert "local-chat 8.7, coder 12.8, margin" in line
    advice = build_context_advice(both)
    assert set(advice) == {"CONTEXT_LENGTH", "models.coder.context_length"}
    cured = tuple(replace(entry, context_length=advice[entry.context_setting]) for entry in models)
    assert "ok: memory" in check(replace(both, models=cured))


def test_only_the_margin_missing_is_a_warning() -> None:
    facts = DoctorInput(build_host(gpus=(), memory_available_bytes=9700 * MIB), models=(build_entry(),))
    find_line(check(facts), "warning: memory")


def test_what_this_stack_holds_already_counts_as_available() -> None:
    facts = DoctorInput(build_host(gpus=(), memory_available_bytes=2 * GIB), models=(build_entry(),))
    assert "error: memory" in check(facts)
    assert "ok: memory" in check(replace(facts, held_memory_bytes=10 * GIB))


def test_a_gpu_too_small_spills_unless_layers_are_fixed() -> None:
    small = build_host(gpus=(replace(CARD, memory_total_bytes=6 * GIB),))
    facts = DoctorInput(small, gpu=NVIDIA, models=(build_entry(),))
    assert "some layers will run on the CPU" in find_line(check(facts), "warning: GPU memory")
    fixed = replace(facts, models=(build_entry(gpu_layers=33),))
    find_line(check(fixed), "error: GPU memory")
    on_cpu = replace(facts, models=(build_entry(gpu_layers=0),))
    assert "GPU memory" not in check(on_cpu)
    assert "ok: memory" in check(on_cpu)


def test_model_files_are_checked_with_their_setting(tmp_path: Path) -> None:
    path = write_model(tmp_path / "m.gguf")
    path.write_bytes(path.read_bytes()[:5000])
    entry = build_entry("CODE_MODEL", path=str(path), files=load_model_files(path))
    line = find_line(check(DoctorInput(build_host(), models=(entry,))), f"error: {path}: CODE_MODEL")
    assert "truncated" in line


def test_a_model_on_a_windows_drive_under_wsl() -> None:
    kernel = "5.15.0-microsoft-standard-WSL2"
    by_path = build_entry(path="/mnt/c/models/a.gguf")
    assert "Windows drive" in check(DoctorInput(build_host(kernel=kernel), models=(by_path,)))
    by_type = build_host(kernel=kernel, disks={"/models/local-chat.gguf": DiskSpace(GIB, "9p")})
    assert "Windows drive" in check(DoctorInput(by_type, models=(build_entry(),)))
    assert "Windows drive" not in check(DoctorInput(build_host(kernel=kernel), models=(build_entry(),)))
    assert "Windows drive" not in check(DoctorInput(build_host(), models=(by_path,)))


@pytest.mark.parametrize(
    ("permissions", "is_fine"),
    [
        (FileFacts("/models/a-00001-of-00002.gguf", 0o600), False),
        (FileFacts("/models/a-00001-of-00002.gguf", 0o644), True),
        (FileFacts("/models/a-00001-of-00002.gguf", 0o600, user_id=10001, group_id=5), True),
        (FileFacts("/models/a-00001-of-00002.gguf", 0o640, user_id=5, group_id=10001), True),
        (FileFacts("/models/a-00001-of-00002.gguf", 0o604, user_id=5, group_id=10001), False),
        (FileFacts("/models/a-00001-of-00002.gguf", 0o044, user_id=10001, group_id=5), False),
        (FileFacts("/models/a-00001-of-00002.gguf"), True),
    ],
)
def test_the_container_must_be_able_to_read_every_file_of_a_model(permissions: FileFacts, is_fine: bool) -> None:
    entry = build_entry(permissions=(permissions, FileFacts("/models/a-00002-of-00002.gguf", 0o644)))
    facts = DoctorInput(build_host(), runtime="compose", models=(entry,), container_user=(10001, 10001))
    text = check(facts)
    assert ("may not read the file" not in text) is is_fine
    if not is_fine:
        line = find_line(text, "error: /models/a-00001-of-00002.gguf")
        assert f"the container's user 10001:10001 may not read the file (mode {permissions.mode:04o}" in line
    assert "may not read" not in check(replace(facts, runtime="process"))
