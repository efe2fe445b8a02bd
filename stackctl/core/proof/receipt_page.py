"""The receipt of a proof for a person: one page of plain text. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence

from stackctl.core.health.probes import ProbeResult, Status
from stackctl.core.proof.receipt import NO_BUNDLE, ModelFact, Receipt, write_time
from stackctl.core.proof.sightings import Proof, list_answers
from stackctl.core.text.printable import escape_text

WIDTH = 100
# So many fit on the page; the rest is in the JSON.
MOST_REASONS = 12
MOST_ENTRIES = 6


def render_page(receipt: Receipt) -> str:
    """All that matters of a receipt, on at most 66 lines of at most 100 characters."""
    rows = receipt.proof.health.results
    sections = [
        [f"PROOF OF OFFLINE OPERATION: {receipt.verdict.upper()}"],
        _render_verdict(receipt.proof),
        _render_facts(receipt),
        _render_list("Images", [[name, value] for name, value in sorted(receipt.images.items())]),
        _render_list("Models", [_render_model(model) for model in receipt.models]),
        _render_list("Answers", _render_answers(receipt)),
        ["Health", f"  {_render_counts(rows)}"],
    ]
    # What a service asked for, or an engine answered, may hold what a terminal obeys.
    return "\n\n".join("\n".join(escape_text(line)[:WIDTH] for line in part) for part in sections if part) + "\n"


def _render_verdict(proof: Proof) -> list[str]:
    if proof.passed:
        return [
            "With no route out, the stack started and every model answered. Nothing looked up a foreign name,",
            "nothing tried to reach an address outside the stack, and nothing was pulled.",
        ]
    reasons = proof.list_reasons()
    return [*(f"- {reason}" for reason in reasons[:MOST_REASONS]), *_tell_rest(len(reasons) - MOST_REASONS)]


def _render_facts(receipt: Receipt) -> list[str]:
    bundle, proof = receipt.bundle, receipt.proof
    facts = {
        "bundle": f"{bundle.name} {bundle.version}" if bundle else NO_BUNDLE,
        "bundle id": bundle.id if bundle else "",
        "signature": bundle.signature if bundle else "",
        "stack": receipt.stack_name,
        "configuration": receipt.configuration,
        "runtime": f"{proof.health.runtime}, {proof.health.device}",
        "stackctl": receipt.stackctl_version,
        "started": write_time(receipt.started),
        "finished": write_time(receipt.finished),
        "content": _render_content(proof) if bundle else "",
        "attempts": f"{len(proof.attempts)} outside the stack",
        "pulled": f"{len(proof.pulled)} images",
        "observation": "not complete" if proof.gaps else "complete: no packet went unseen",
    }
    return [f"{name:<14} {value}" for name, value in facts.items() if value]


def _render_content(proof: Proof) -> str:
    return "not what was packed" if proof.altered else "every byte of the release is what was packed"


def _render_list(title: str, entries: Sequence[Sequence[str]]) -> list[str]:
    """Entries of one or two lines; a digest has a line of its own, so that it is never cut."""
    if not entries:
        return []
    shown = [
        f"  {'  ' if number else ''}{line}" for entry in entries[:MOST_ENTRIES] for number, line in enumerate(entry)
    ]
    return [title, *shown, *_tell_rest(len(entries) - MOST_ENTRIES)]


def _tell_rest(count: int) -> list[str]:
    return [f"  and {count} more, in the JSON receipt"] if count > 0 else []


def _render_model(model: ModelFact) -> list[str]:
    name = f"{model.served_name}: {model.file}, {model.size_bytes:,} bytes"
    return [name, f"sha256 {model.sha256[0]}" if model.sha256 else "sha256 not known here"]


def _render_answers(receipt: Receipt) -> list[list[str]]:
    questions = {fact.served_name: fact.question for fact in receipt.answers}
    return [
        [f"{row.subject}: {row.status}: {row.detail} to '{questions.get(row.subject, 'a question')}'"]
        for row in list_answers(receipt.proof.health.results)
    ]


def _render_counts(results: Iterable[ProbeResult]) -> str:
    counts = Counter(row.status for row in results)
    return ", ".join(f"{counts[status]} {status}" for status in Status if counts[status]) or "nothing was asked"
