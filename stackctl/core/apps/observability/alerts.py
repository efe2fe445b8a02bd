"""What someone should look at: Prometheus' alert rules. Pure.

A rule's expression gives a series for each thing that is wrong, and none where nothing is.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import yaml

# Of a disk: below it something stops soon, and a person has time to act.
_LEAST_FREE = 0.1
# Of a budget.
_NEARLY_USED = 0.9
# Requests that wait, for each slot of the engine: each of them waits for two whole answers.
_LONG_QUEUE = 2


@dataclass(frozen=True, slots=True)
class Alert:
    """One rule.

    Attributes:
        expression: PromQL.
        after: how long it must hold, as Prometheus writes durations.
        severity: ``critical``: nobody, or somebody, gets no answers; ``warning``: soon, or less than there could be.
        summary: one line, with values of labels as Prometheus' templates name them.
        advice: what to do.
    """

    name: str
    expression: str
    after: str
    severity: str
    summary: str
    advice: str


def list_alerts(first_token_s: int) -> tuple[Alert, ...]:
    """All rules.

    Args:
        first_token_s: seconds that 95 of 100 answers may take to begin.
    """
    return (*_list_answering(first_token_s), *_list_overloaded(), *_list_running_out())


def _list_answering(first_token_s: int) -> tuple[Alert, ...]:
    return (
        Alert(
            "GatewayDown",
            'up{job="gateway"} == 0',
            "1m",
            "critical",
            "The gateway does not answer.",
            "stackctl health",
        ),
        Alert(
            "ModelFails",
            'sum by (model) (rate(gateway_requests_total{model!="",status=~"5.."}[5m]))'
            ' / sum by (model) (rate(gateway_requests_total{model!=""}[5m])) > 0.5',
            "2m",
            "critical",
            "More than half of the requests for {{ $labels.model }} get no answer.",
            "stackctl providers, stackctl health",
        ),
        Alert(
            "TargetLeftOut",
            "gateway_target_available == 0",
            "2m",
            "warning",
            "{{ $labels.target }} keeps failing and is left out.",
            "stackctl providers",
        ),
        Alert(
            "SlowFirstToken",
            "histogram_quantile(0.95, sum by (model, le) (rate(gateway_time_to_first_token_seconds_bucket[5m])))"
            f" > {first_token_s}",
            "5m",
            "warning",
            "Answers of {{ $labels.model }} begin after {{ $value | humanizeDuration }}.",
            "stackctl top; docs/guides/gpu.md",
        ),
    )


def _list_overloaded() -> tuple[Alert, ...]:
    return (
        Alert(
            "QueueLong",
            f"gateway_requests_waiting > {_LONG_QUEUE} * gateway_slots",
            "5m",
            "warning",
            "{{ $value }} requests wait for {{ $labels.provider }}.",
            "stackctl top; limits for keys (docs/guides/limits.md), or another engine",
        ),
        Alert(
            "QueueFull",
            'sum by (target) (increase(gateway_failed_tries_total{outcome="queue_full"}[5m])) > 0',
            "0m",
            "critical",
            "The queue for {{ $labels.target }} is full or too slow: requests are refused.",
            "stackctl top; limits for keys (docs/guides/limits.md), or another engine",
        ),
        Alert(
            "GpuLost",
            "max_over_time(stack_gpus[1d]) > stack_gpus",
            "1m",
            "critical",
            "{{ $value }} GPUs answered within the last day; now fewer do.",
            "nvidia-smi, stackctl health; docs/guides/gpu.md",
        ),
    )


def _list_running_out() -> tuple[Alert, ...]:
    return (
        Alert(
            "DiskNearlyFull",
            f"gateway_state_disk_free_bytes / gateway_state_disk_size_bytes < {_LEAST_FREE}",
            "5m",
            "critical",
            "{{ $value | humanizePercentage }} of the disk with keys and usage is free.",
            "stackctl offline-prune, GATEWAY_USAGE_DAYS",
        ),
        Alert(
            "UsageNotWritten",
            "gateway_usage_records_waiting > 0",
            "1m",
            "warning",
            "{{ $value }} records of usage cannot be written.",
            "stackctl logs api-gateway",
        ),
        Alert(
            "UsageLost",
            "increase(gateway_usage_records_lost_total[10m]) > 0",
            "0m",
            "critical",
            "Records of usage were lost: what keys used is more than what is counted.",
            "stackctl logs api-gateway",
        ),
        Alert(
            "KeyNearBudget",
            'gateway_key_limit_used{kind="budget"} / gateway_key_limit{kind="budget"} > ' + str(_NEARLY_USED),
            "0m",
            "warning",
            "{{ $labels.key }} has used {{ $value | humanizePercentage }} of its budget.",
            "stackctl keys change NAME --budget-tokens N/day",
        ),
    )


def render_alerts(alerts: Sequence[Alert]) -> str:
    """The rules as a file that Prometheus reads."""
    rules: list[dict[str, Any]] = [
        {
            "alert": alert.name,
            "expr": alert.expression,
            "for": alert.after,
            "labels": {"severity": alert.severity},
            "annotations": {"summary": alert.summary, "advice": alert.advice},
        }
        for alert in alerts
    ]
    return yaml.safe_dump({"groups": [{"name": "stack", "rules": rules}]}, sort_keys=False, width=1000)
