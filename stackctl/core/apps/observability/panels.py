"""What the dashboard shows: rows of panels, each with its queries. Pure values."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

# Grafana's name for a span that holds enough scrapes, whatever the zoom.
SPAN = "$__rate_interval"
_FIRST_TOKEN = "gateway_time_to_first_token_seconds_bucket"  # noqa: S105  # a metric

Kind = Literal["stat", "timeseries", "bargauge"]
Unit = Literal["reqps", "s", "percentunit", "bytes", "short", "none"]


@dataclass(frozen=True, slots=True)
class Query:
    """One query.

    Attributes:
        legend: name of each of its series, with labels in double braces.
    """

    expression: str
    legend: str


@dataclass(frozen=True, slots=True)
class Panel:
    """One panel; ``width`` in columns of the 24 that a row has."""

    title: str
    unit: Unit
    queries: tuple[Query, ...]
    kind: Kind = "timeseries"
    width: int = 8
    description: str = ""


@dataclass(frozen=True, slots=True)
class Row:
    """Panels side by side, under a title; ``height`` in Grafana's units of 30 pixels."""

    title: str
    panels: tuple[Panel, ...]
    height: int = 8


def _rate(name: str, *labels: str, where: str = "") -> str:
    """Per second, added up by these labels."""
    return (
        f"sum by ({', '.join(labels)}) (rate({name}{where}[{SPAN}]))" if labels else f"sum(rate({name}{where}[{SPAN}]))"
    )


def _quantile(share: float, name: str, *labels: str) -> str:
    return f"histogram_quantile({share}, {_rate(name, *labels, 'le')})"


def _one(expression: str, legend: str = "") -> tuple[Query, ...]:
    return (Query(expression, legend),)


def _quantiles(name: str, label: str) -> tuple[Query, ...]:
    return tuple(Query(_quantile(share, name, label), f"{{{{{label}}}}} p{share * 100:g}") for share in (0.5, 0.95))


def _stat(title: str, unit: Unit, expression: str, description: str = "") -> Panel:
    return Panel(title, unit, _one(expression), "stat", 4, description)


_ASKED = '{model!=""}'
_NOW = Row(
    "Now",
    (
        _stat("Requests", "reqps", _rate("gateway_requests_total", where=_ASKED)),
        _stat("Tokens a second", "short", _rate("gateway_tokens_total", where='{kind="completion"}')),
        _stat("First token, p95", "s", _quantile(0.95, _FIRST_TOKEN)),
        _stat("Waiting", "short", "sum(gateway_requests_waiting)"),
        _stat(
            "Without an answer",
            "percentunit",
            f'(sum(rate(gateway_requests_total{{model!="",status=~"5.."}}[{SPAN}])) or vector(0))'
            f" / {_rate('gateway_requests_total', where=_ASKED)}",
            "Share of the requests for models that ended with a status of 500 or more.",
        ),
        _stat("Alerts", "none", 'count(ALERTS{alertstate="firing"}) or vector(0)'),
    ),
    height=4,
)
_ANSWERS = Row(
    "Answers",
    (
        Panel("Requests by model", "reqps", _one(_rate("gateway_requests_total", "model", where=_ASKED), "{{model}}")),
        Panel(
            "Answers by status", "reqps", _one(_rate("gateway_requests_total", "status", where=_ASKED), "{{status}}")
        ),
        Panel("Tokens a second", "short", _one(_rate("gateway_tokens_total", "model", "kind"), "{{model}} {{kind}}")),
        Panel("Time to the first token", "s", _quantiles(_FIRST_TOKEN, "model")),
        Panel("Time a token", "s", _quantiles("gateway_time_per_token_seconds_bucket", "model")),
        Panel("Time of a whole answer", "s", _quantiles("gateway_request_duration_seconds_bucket", "model")),
    ),
)
_ENGINES = Row(
    "Engines and providers",
    (
        Panel(
            "Slots",
            "short",
            (
                Query("gateway_slots_leased", "{{provider}} busy"),
                Query("gateway_requests_waiting", "{{provider}} waiting"),
                Query("gateway_slots", "{{provider}} slots"),
            ),
        ),
        Panel("Wait for a slot", "s", _quantiles("gateway_queue_seconds_bucket", "provider")),
        Panel(
            "Targets that are asked",
            "none",
            _one("gateway_target_available", "{{target}}"),
            description="1, or 0 while it is left out since it keeps failing.",
        ),
        Panel(
            "Failed tries",
            "reqps",
            _one(_rate("gateway_failed_tries_total", "target", "outcome"), "{{target}} {{outcome}}"),
        ),
        Panel(
            "Fallbacks", "reqps", _one(_rate("gateway_fallbacks_total", "model", "target"), "{{model}} by {{target}}")
        ),
        Panel("Cache", "reqps", _one(_rate("gateway_cache_total", "model", "result"), "{{model}} {{result}}")),
        Panel("Bytes of kept answers", "bytes", _one("max(gateway_cache_bytes)", "kept")),
        Panel(
            "Limits of providers",
            "percentunit",
            _one("gateway_provider_limit_used / gateway_provider_limit", "{{provider}} {{kind}}"),
            "bargauge",
        ),
        Panel(
            "Limits of targets",
            "percentunit",
            _one("gateway_target_limit_used / gateway_target_limit", "{{target}} {{kind}}"),
            "bargauge",
        ),
    ),
)
_KEYS = Row(
    "Keys",
    (
        Panel("Tokens a second", "short", _one(f"topk(10, {_rate('gateway_key_tokens_total', 'key')})", "{{key}}")),
        Panel(
            "Refused and failed",
            "reqps",
            _one(_rate("gateway_key_requests_total", "key", "outcome", where='{outcome!="ok"}'), "{{key}} {{outcome}}"),
        ),
        Panel(
            "Limits of keys",
            "percentunit",
            _one("topk(20, gateway_key_limit_used / gateway_key_limit)", "{{key}} {{kind}}"),
            "bargauge",
        ),
    ),
)
_SITE = Row(
    "The site",
    (
        Panel(
            "Disk with keys and usage, free",
            "bytes",
            (Query("gateway_state_disk_free_bytes", "free"), Query("gateway_state_disk_size_bytes", "size")),
            width=12,
        ),
        Panel(
            "Records of usage",
            "short",
            (
                Query("gateway_usage_records_waiting", "waiting"),
                Query("gateway_usage_records_lost_total", "lost since the start"),
            ),
            width=12,
        ),
        Panel(
            "Memory of GPUs",
            "bytes",
            (Query("stack_gpu_memory_used_bytes", "{{gpu}} used"), Query("stack_gpu_memory_bytes", "{{gpu}} size")),
        ),
        Panel("GPUs at work", "percentunit", _one("stack_gpu_busy_ratio", "{{gpu}}")),
        Panel("GPUs that answer", "none", _one("stack_gpus", "GPUs")),
    ),
)
ROWS = (_NOW, _ANSWERS, _ENGINES, _KEYS, _SITE)
