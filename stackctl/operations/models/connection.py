"""Asking a server for a model file: redirects, the token, refusals, waits between tries.

In: a ``Source``. Out: replies, or what a refusal means. Does I/O through its effects: HTTP.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

from stackctl.core.download.hub import MAX_REDIRECTS, REDIRECTS, Source, follow_redirect, may_carry_token
from stackctl.core.download.refusals import explain_status
from stackctl.core.download.remote_file import RemoteFile, read_count, read_remote
from stackctl.core.download.transfer import (
    MAX_RETRY_AFTER_S,
    MAX_TRIES,
    HostUnreachable,
    Reply,
    TransferInterrupted,
    choose_delay,
)
from stackctl.errors import ConfigError, RuntimeFailure
from stackctl.operations.effects import Effects
from stackctl.operations.models.folder import StoreEffects

# A server that does not know HEAD; 403 is for an address that was signed for GET alone.
_NO_HEAD = frozenset({405, 501})


@dataclass(frozen=True, slots=True)
class Answered:
    """The last answer of a chain of redirects, with the headers of all."""

    reply: Reply
    remote: RemoteFile


@dataclass(frozen=True, slots=True)
class Connection:
    """How to ask for one file.

    Attributes:
        token: the hub's token; empty for none. It goes to the first server only.
        ca_bundle: path of the company's certificates, None for the system's alone.
    """

    effects: Effects
    store: StoreEffects
    source: Source
    token: str = field(repr=False, default="")
    ca_bundle: Path | None = None

    @contextmanager
    def ask(self, method: str, headers: Mapping[str, str]) -> Iterator[Answered]:
        """Ask, and follow redirects.

        Raises:
            RuntimeFailure: the redirects lead nowhere.
        """
        url, has_token, answers = self.source.url, bool(self.token), []
        with ExitStack() as opened:
            for _ in range(MAX_REDIRECTS + 1):
                # Once it left the hub, a chain never gets the token again.
                has_token = has_token and may_carry_token(url, self.source)
                sent = {**headers, "authorization": f"Bearer {self.token}"} if has_token else headers
                reply = opened.enter_context(self.store.open_reply(self.ca_bundle, method, url, sent))
                answers.append(reply.headers)
                location, remote = reply.headers.get("location", ""), read_remote(answers)
                is_known = method == "HEAD" and bool(
                    remote.sha256 and read_count(reply.headers.get("x-linked-size", ""))
                )
                if reply.status not in REDIRECTS or not location or is_known:
                    yield Answered(reply, remote)
                    return
                opened.close()
                url = follow_redirect(url, location)
        message = f"{self.source.origin}: more than {MAX_REDIRECTS} redirects"
        raise RuntimeFailure(f"{message}.", f"check {self.source.place}")

    def check(self, reply: Reply) -> None:
        """Refuse an answer that carries no file.

        Raises:
            StackError: the answer carries no file; says what it means.
        """
        if reply.status not in (200, 206, 416) and not (reply.status in REDIRECTS and "location" in reply.headers):
            host = urlsplit(reply.url).hostname or ""
            raise explain_status(self.source, reply, host, bool(self.token))

    def wait(self, failures: int, error: TransferInterrupted) -> None:
        """Wait before the next try.

        Raises:
            TransferInterrupted: there were too many tries, or the server asks for too long a wait.
        """
        if failures >= MAX_TRIES or error.retry_after_s > MAX_RETRY_AFTER_S:
            raise error
        delay_s = choose_delay(failures, error.retry_after_s)
        self.effects.terminal.report(f"waiting for {self.source.name}: {error.message} Trying again in {delay_s:g} s")
        self.effects.clock.sleep(delay_s)


def probe(connection: Connection) -> RemoteFile:
    """Ask what the server has, without fetching the file.

    Raises:
        HostUnreachable: no connection could be made; raised at once, because nothing was downloaded that waiting could
            save.
        StackError: the server has no such file, or keeps failing.
    """
    check_token(connection.token)
    source, method, failures = connection.source, "HEAD", 0
    if connection.token and source.is_hub and not may_carry_token(source.url, source):
        connection.effects.terminal.report("HF_TOKEN stays here: HF_ENDPOINT is plain HTTP")
    while True:
        try:
            with connection.ask(method, {}) as answered:
                status = answered.reply.status
                if method == "HEAD" and (status in _NO_HEAD or (status == 403 and not source.is_hub)):
                    method = "GET"
                    continue
                connection.check(answered.reply)
                return answered.remote
        except HostUnreachable:
            raise
        except TransferInterrupted as error:
            failures += 1
            connection.wait(failures, error)


def check_token(token: str) -> None:
    """Refuse a token that no header can carry, before a library quotes it in its own error.

    Raises:
        ConfigError: the token holds spaces or other characters that no header carries.
    """
    if token and not (token.isascii() and token.isprintable() and " " not in token):
        message = (
            f"HF_TOKEN is a secret of {len(token)} characters with spaces or characters that no HTTP header carries"
        )
        raise ConfigError(f"{message}.", "copy the token again")
