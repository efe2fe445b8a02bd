"""Hosts and models for the doctor's tests, and its findings as lines of text."""

from __future__ import annotations

from dataclasses import replace

from stackctl.core.health.doctor import check_host
from stackctl.core.health.doctor_input import DoctorInput, ModelEntry
from stackctl.core.machine.docker_facts import DockerFacts
from stackctl.core.machine.gpu import Gpu
from stackctl.core.machine.host import Choice, Host
from stackctl.core.models.files import ModelFile
from stackctl.errors import Severity
from tests.gguf_files import build_header

GIB = 1 << 30

DOCKER = DockerFacts(
    "28.2.2",
    "28.5.2",
    compose_version="2.40.3",
    operating_system="Debian GNU/Linux 12",
    storage_driver="overlay2",
    runtimes=frozenset({"runc", "nvidia"}),
)
CARD = Gpu("nvidia", 0, "RTX 3060", "GPU-a", "580.65.06", 12 * GIB, 0, (8, 6))
NVIDIA = Choice("nvidia", "RTX 3060")


def build_entry(setting: str = "CHAT_MODEL", name: str = "local-chat", **changes: object) -> ModelEntry:
    path = f"/models/{name}.gguf"
    entry = ModelEntry(name, setting, path, (ModelFile(path, build_header()),), slots=4)
    return replace(entry, **changes)  # type: ignore[arg-type]


def build_host(**changes: object) -> Host:
    host = Host(
        kernel="6.1.0",
        memory_total_bytes=64 * GIB,
        memory_available_bytes=48 * GIB,
        docker=DOCKER,
        gpus=(CARD,),
        cuda_version=(13, 0),
    )
    return replace(host, **changes)  # type: ignore[arg-type]


def check(facts: DoctorInput) -> str:
    """All findings as lines, those that matter first in the eye: ``error: subject: message -> hint``."""
    findings = check_host(facts)
    assert all(finding.hint for finding in findings if finding.severity is not Severity.OK)
    return "\n".join(f"{f.severity}: {f.render_text()} -> {f.hint}" for f in findings)


def find_line(text: str, start: str) -> str:
    lines = [line for line in text.splitlines() if line.startswith(start)]
    assert lines, text
    return lines[0]
