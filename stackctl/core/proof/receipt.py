"""The receipt of a proof: what was shown, when, of which images and models, as canonical JSON. Pure.

In: values. Out: text. Equal values give equal bytes: keys are sorted, numbers are whole, no host name and no user's
name is in it. The JSON is what is signed; ``receipt_page`` says the same to a person.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from stackctl.core.health.answers import OPEN_QUESTION
from stackctl.core.health.probes import ProbeResult
from stackctl.core.models.served import ServedModel
from stackctl.core.proof.sightings import Attempt, Proof

SCHEMA = "stackctl.offline-proof/1"
NO_BUNDLE = "no bundle installed: this site's own configuration"


@dataclass(frozen=True, slots=True)
class InstalledBundle:
    """The bundle that a site runs.

    Attributes:
        signature: how the bundle was checked when it was loaded, in words: the key, or that it was unsigned.
    """

    id: str
    name: str
    version: str
    signature: str


@dataclass(frozen=True, slots=True)
class ModelFact:
    """A model as it was served.

    Attributes:
        file: name of the model's first file.
        sha256: digests of all its files in order, as the release has them; empty where no release brought them.
    """

    served_name: str
    file: str
    size_bytes: int
    sha256: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class AnswerFact:
    """The question that a model was asked, and the answer that counts as right."""

    served_name: str
    question: str
    expected: str


@dataclass(frozen=True, slots=True)
class Receipt:
    """Everything that a receipt states.

    Attributes:
        bundle: the bundle that the site runs; ``None`` where it runs its own configuration.
        configuration: digest of the rendered files that 'up' starts the stack from.
        images: ids of the images in the Docker engine, by name; empty in the process runtime.
        started, finished: times in UTC.
    """

    proof: Proof
    bundle: InstalledBundle | None
    stack_name: str
    stackctl_version: str
    configuration: str
    images: Mapping[str, str]
    models: tuple[ModelFact, ...]
    answers: tuple[AnswerFact, ...]
    started: datetime
    finished: datetime

    @property
    def file_stem(self) -> str:
        """Name of the receipt's files without the ending: the time and the bundle."""
        source = self.bundle.id.rpartition(":")[2][:12] if self.bundle else "site"
        return f"{self.finished:%Y%m%dT%H%M%SZ}-{source}"

    @property
    def verdict(self) -> str:
        """The verdict in one word: ``passed`` or ``failed``."""
        return "passed" if self.proof.passed else "failed"


def hash_configuration(files: Mapping[str, str]) -> str:
    """One digest for rendered files: over their names and digests, sorted."""
    lines = [f"{hashlib.sha256(text.encode()).hexdigest()}  {name}\n" for name, text in sorted(files.items())]
    return f"sha256:{hashlib.sha256(''.join(lines).encode()).hexdigest()}"


def list_answer_facts(models: Iterable[ServedModel], known: tuple[str, str]) -> tuple[AnswerFact, ...]:
    """The question that health asks each model, and the answer that it takes for right.

    Args:
        known: question and answer of the demo model.
    """
    return tuple(_build_answer_fact(model, known) for model in models)


def _build_answer_fact(model: ServedModel, known: tuple[str, str]) -> AnswerFact:
    question, answer = known
    if model.mode == "embedding":
        return AnswerFact(model.served_name, question, "a vector of finite numbers")
    if model.mode == "rerank":
        return AnswerFact(model.served_name, "Which port?", "a score for each document")
    return AnswerFact(
        model.served_name, question if model.is_demo else OPEN_QUESTION, answer if model.is_demo else "text"
    )


def render_receipt(receipt: Receipt) -> str:
    """The receipt as canonical JSON with one final newline."""
    return json.dumps(build_receipt_values(receipt), indent=1, sort_keys=True, ensure_ascii=False) + "\n"


def build_receipt_values(receipt: Receipt) -> dict[str, Any]:
    """The receipt as plain values without floats."""
    proof, bundle = receipt.proof, receipt.bundle
    return {
        "schema": SCHEMA,
        "verdict": receipt.verdict,
        "reasons": list(proof.list_reasons()),
        "bundle": _build_bundle_values(bundle) if bundle else None,
        "source": f"bundle {bundle.name} {bundle.version}" if bundle else NO_BUNDLE,
        "stack": receipt.stack_name,
        "stackctl": receipt.stackctl_version,
        "configuration": receipt.configuration,
        "runtime": proof.health.runtime,
        "device": proof.health.device,
        "started": write_time(receipt.started),
        "finished": write_time(receipt.finished),
        "images": [{"name": name, "id": value} for name, value in sorted(receipt.images.items())],
        "models": [_build_model_values(model) for model in receipt.models],
        "questions": [
            {"model": fact.served_name, "question": fact.question, "expected": fact.expected}
            for fact in receipt.answers
        ],
        "health": [_build_row_values(row) for row in proof.health.results],
        "attempts": [_build_attempt_values(attempt) for attempt in proof.attempts],
        "pulled": list(proof.pulled),
        "altered": list(proof.altered),
        "gaps": list(proof.gaps),
        "failure": proof.failure,
    }


def _build_bundle_values(bundle: InstalledBundle) -> dict[str, Any]:
    return {"id": bundle.id, "name": bundle.name, "version": bundle.version, "signature": bundle.signature}


def _build_attempt_values(attempt: Attempt) -> dict[str, Any]:
    return {
        "service": attempt.service,
        "kind": attempt.kind.value,
        "target": attempt.target,
        "protocol": attempt.protocol,
        "port": attempt.port,
        "count": attempt.count,
    }


def _build_model_values(model: ModelFact) -> dict[str, Any]:
    return {
        "name": model.served_name,
        "file": model.file,
        "size_bytes": model.size_bytes,
        "sha256": list(model.sha256) or None,
    }


def _build_row_values(row: ProbeResult) -> dict[str, Any]:
    return {
        "layer": row.layer,
        "subject": row.subject,
        "status": row.status.value,
        "detail": row.detail,
        "elapsed_ms": round(row.elapsed_s * 1000),
    }


def write_time(moment: datetime) -> str:
    """A moment as text: in UTC, to the second."""
    return f"{moment:%Y-%m-%dT%H:%M:%SZ}"
