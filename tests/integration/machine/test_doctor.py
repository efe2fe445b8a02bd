"""The preflight on the machine that runs the tests."""

from __future__ import annotations

from pathlib import Path

from stackctl.adapters.machine.commands import run_command
from stackctl.adapters.machine.host import load_host
from stackctl.adapters.models.gguf import load_model_files
from stackctl.core.health.doctor_input import DoctorInput, ModelEntry
from tests.doctor_facts import check, find_line
from tests.gguf_files import write_model


def test_this_machine_with_a_small_model(tmp_path: Path) -> None:
    path = write_model(tmp_path / "m.gguf")
    entry = ModelEntry("local-chat", "CHAT_MODEL", str(path), load_model_files(path))
    host = load_host(run_command, [tmp_path, path])
    facts = DoctorInput(host, runtime_wanted="process", gpu_wanted="none", models=(entry,))
    text = check(facts)
    assert "llama F32" in text
    find_line(text, "ok: memory")
