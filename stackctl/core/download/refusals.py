"""What no answer, or one that carries no file, means, and what a person can do about it. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from email.utils import parsedate_to_datetime
from typing import Final

from stackctl.core.download.hub import Source
from stackctl.core.download.remote_file import read_count
from stackctl.core.download.transfer import GO_ON_HINT, MAX_RETRY_AFTER_S, HostUnreachable, Reply, TransferInterrupted
from stackctl.core.text.progress import write_duration
from stackctl.errors import ConfigError, RuntimeFailure, StackError

BUSY_STATUSES: Final = frozenset({408, 425, 429, 500, 502, 503, 504})


def explain_status(source: Source, reply: Reply, host: str, has_token: bool) -> StackError:
    """What an answer without a file means, and what to do.

    Args:
        host: the host that answered.
        has_token: whether the hub was given a token.
    """
    status, code = reply.status, reply.headers.get("x-error-code", "")
    if status in BUSY_STATUSES:
        return _explain_busy(source, reply, host)
    if code in ("EntryNotFound", "RevisionNotFound") or status in (404, 410):
        what = {"RevisionNotFound": "revision", "RepoNotFound": "repository"}.get(code, "file")
        hint = "check the name on the hub's page" if source.is_hub else "check the address"
        return ConfigError(f"{host} has no {source.origin}: no such {what} ({status}).", hint)
    if status in (401, 403):
        return _explain_refusal(source, reply, host, has_token)
    return RuntimeFailure(f"{host} answers {status} for {source.origin}; expected the file.", f"check {source.place}")


def _explain_busy(source: Source, reply: Reply, host: str) -> TransferInterrupted:
    wait_s = read_retry_after(reply.headers)
    message = f"{host} answers {reply.status} for {source.origin}: it is busy."
    if wait_s > MAX_RETRY_AFTER_S:
        hint = f"run the command again in {write_duration(wait_s)}: it goes on where it stopped"
        return TransferInterrupted(message, hint, retry_after_s=wait_s)
    return TransferInterrupted(message, GO_ON_HINT, retry_after_s=wait_s)


def _explain_refusal(source: Source, reply: Reply, host: str, has_token: bool) -> StackError:
    """What a 401 or 403 means: from the hub, from the storage behind it, or from any other server."""
    refused = f"{host} refuses {source.origin} ({reply.status})"
    if not source.is_hub:
        hint = f"download it as its site asks for, then run 'stackctl models add {source.name}'"
        return ConfigError(f"{refused}: it asks for a login, which a plain address does not get.", hint)
    if not source.is_answered_by_hub(reply.url):
        hint = f"run the command again; if it stays so, check that the company's proxy lets {host} through"
        return RuntimeFailure(f"{refused}, although the hub sent us there.", hint)
    if reply.headers.get("x-error-code", "") == "GatedRepo":
        account = "with the account of HF_TOKEN" if has_token else "and set HF_TOKEN in .env"
        return ConfigError(f"{refused}: it is gated.", f"accept its terms on the hub {account}")
    hint = (
        "check HF_TOKEN, and that it may read it"
        if has_token
        else "accept its terms on the hub and set HF_TOKEN in .env"
    )
    return ConfigError(f"{refused}: it does not exist, is private or is gated.", hint)


def read_retry_after(headers: Mapping[str, str]) -> float:
    """Seconds that a server asks to wait, as a number or as a date to compare with its own; 0 where it does not."""
    text = headers.get("retry-after", "")
    if text.strip().isdecimal():
        return float(read_count(text))
    try:
        seconds = (parsedate_to_datetime(text) - parsedate_to_datetime(headers.get("date", ""))).total_seconds()
    except (ValueError, TypeError, OverflowError):  # no date, or only one of them has a time zone
        return 0.0
    return max(seconds, 0.0)


def explain_by_hand(source: Source) -> str:
    """How to bring the file by hand, which needs no network here."""
    return (
        f"To bring it by hand: download {source.url.partition('?')[0]} on another machine, carry the file here and run"
        f" 'stackctl models add {source.name}'; or load an offline bundle that holds it."
    )


def explain_unreachable(source: Source, error: HostUnreachable) -> HostUnreachable:
    """An unreachable host as an error that names every other way to the file; a hint that it has already stays."""
    wish = "set HF_ENDPOINT to a mirror that this machine reaches" if source.is_hub else "check the address"
    return HostUnreachable(
        f"{error.message} {explain_by_hand(source)}", error.hint or f"{wish}, or bring the file by hand"
    )
