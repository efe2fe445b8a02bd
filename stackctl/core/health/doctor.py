"""The preflight: everything that can be found wrong before anything is pulled, built or started.

In: a ``DoctorInput`` of plain values. Out: findings of severity ok, warning or error; each that is not ok
says what to do. Pure: what is looked at was read before.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from stackctl.core.health.doctor_context import check_agents
from stackctl.core.health.doctor_engine import check_gpu, check_runtime
from stackctl.core.health.doctor_input import DoctorInput, FileFacts
from stackctl.core.health.doctor_models import check_models
from stackctl.core.machine.limits import Limits
from stackctl.errors import Finding, Severity

_GIB: Final = 1 << 30
_PEM_MARKS: Final = (b"-----BEGIN CERTIFICATE-----", b"-----BEGIN TRUSTED CERTIFICATE-----")
# DER starts with an ASN.1 sequence of a length in two bytes.
_DER_MARK: Final = b"\x30\x82"


def check_host(facts: DoctorInput) -> tuple[Finding, ...]:
    """Run every check; findings in the order in which a person would fix them."""
    return (
        *facts.settings_findings,
        *check_runtime(facts),
        *facts.engine_findings,
        *check_limits(facts),
        *check_gpu(facts),
        *check_models(facts),
        *check_agents(facts),
        *check_disks(facts),
        *check_ports(facts),
        *check_files(facts),
    )


def has_errors(findings: Iterable[Finding]) -> bool:
    """Whether any finding stands in the way of starting."""
    return any(finding.severity is Severity.ERROR for finding in findings)


def check_limits(facts: DoctorInput) -> tuple[Finding, ...]:
    """Say what a container, a service or taskset around stackctl takes away from processes."""
    limits = facts.host.limits
    if facts.runtime != "process" or limits == Limits():
        return ()
    parts = []
    if limits.cpus is not None:
        noun = "processor" if limits.cpus == 1 else "processors"
        parts.append(f"{limits.cpus} {noun} (threads of an engine, unless INFERENCE_THREADS says otherwise)")
    if limits.memory_bytes is not None:
        left = min(limits.memory_left_bytes or 0, facts.host.memory_available_bytes)
        parts.append(f"{limits.memory_bytes / _GIB:.1f} GiB of memory, {left / _GIB:.1f} GiB of them free")
    text = f"of this machine, what runs here may use {' and '.join(parts)}"
    return (Finding("limits", text, severity=Severity.OK),)


def check_disks(facts: DoctorInput) -> tuple[Finding, ...]:
    """Check the rights and the free space where the stack will write."""
    findings = []
    for need in facts.disks:
        disk = facts.host.disks.get(need.path)
        if disk is None:
            continue
        if need.access and not disk.is_writable:
            findings.append(Finding("disk", f"this user cannot write {need.purpose} here", need.access, file=need.path))
            continue
        text = f"{disk.free_bytes / _GIB:.1f} GiB free for {need.purpose}"
        if disk.free_bytes >= need.needed_bytes:
            findings.append(Finding("disk", text, severity=Severity.OK, file=need.path))
            continue
        hint = f"free some space or set {need.setting}" if need.setting else "free some space"
        message = f"{text}, {need.needed_bytes / _GIB:.1f} GiB expected"
        findings.append(Finding("disk", message, hint, file=need.path))
    return tuple(findings)


def check_ports(facts: DoctorInput) -> tuple[Finding, ...]:
    """Check ports: one finding for each that another process holds, with its name and the setting to change."""
    findings = []
    for need in facts.ports:
        holder = facts.host.ports.get(need.port)
        if need.is_own or holder is None:
            continue
        stop = f"stop it (kill {holder.pid})" if holder.pid else "stop it"
        message = f"port {need.port} is in use by {holder.render_text()}"
        findings.append(Finding(need.setting, message, f"{stop} or change {need.setting}"))
    if facts.ports and not findings:
        listed = ", ".join(str(need.port) for need in facts.ports)
        findings.append(Finding("ports", f"free or held by this stack: {listed}", severity=Severity.OK))
    return tuple(findings)


def check_files(facts: DoctorInput) -> tuple[Finding, ...]:
    """Check the permissions of ``.env`` and the form of the CA bundle."""
    findings = []
    env = facts.env_file
    if env is not None and env.mode is not None and env.mode & 0o077:
        message = f"others may read its secrets (mode {env.mode & 0o777:04o}, expected 0600)"
        findings.append(Finding(".env", message, f"chmod 600 '{env.path}'", Severity.WARNING, env.path))
    if facts.ca_bundle is not None:
        findings.extend(_check_ca_bundle(facts.ca_setting, facts.ca_bundle))
    return tuple(findings)


def _check_ca_bundle(setting: str, bundle: FileFacts) -> list[Finding]:
    if bundle.mode is None:
        return [Finding(setting, "no such CA bundle", f"correct {setting}, or clear it", file=bundle.path)]
    if any(mark in bundle.head for mark in _PEM_MARKS):
        return []
    if bundle.head.startswith(_DER_MARK):
        hint = f"convert it: openssl x509 -inform der -in '{bundle.path}' -out company-ca.pem"
        return [Finding(setting, "the CA bundle is in DER form, PEM is expected", hint, file=bundle.path)]
    hint = "export the company's CA as PEM (it starts with -----BEGIN CERTIFICATE-----)"
    return [Finding(setting, "the CA bundle holds no PEM certificate", hint, file=bundle.path)]
