"""What stands where a provider should be in a drill: stand-ins, and ports that lead nowhere. Does I/O: loopback."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass

from stackctl.adapters.http.stand_in import LOOPBACK, StandIn, hold_refusing_port, hold_silent_port, run_stand_in
from stackctl.adapters.http.stand_in_certificate import make_untrusted_context
from stackctl.core.drill.rows import Server

# RFC 6761: resolvers must answer that there is no such name, without asking anyone.
_NO_NAME = "http://provider.invalid"


@dataclass(frozen=True, slots=True)
class DrillServers:
    """Running servers of a drill.

    Attributes:
        failing: the stand-in that fails.
        next: the one that answers.
        addresses: base URL of each server.
    """

    failing: StandIn
    next: StandIn
    addresses: Mapping[Server, str]

    @property
    def next_address(self) -> str:
        """Base URL of the stand-in that answers."""
        return self.next.url


@contextmanager
def run_drill_servers() -> Iterator[DrillServers]:
    """Every server that a drill needs, until the end of the block."""
    with ExitStack() as stack:
        failing, other = stack.enter_context(run_stand_in()), stack.enter_context(run_stand_in())
        untrusted = stack.enter_context(run_stand_in(tls=make_untrusted_context()))
        refusing, silent = stack.enter_context(hold_refusing_port()), stack.enter_context(hold_silent_port())
        addresses: dict[Server, str] = {
            "stand-in": failing.url,
            "refusing": f"http://{LOOPBACK}:{refusing}",
            "silent": f"http://{LOOPBACK}:{silent}",
            "untrusted": untrusted.url,
            "unnamed": _NO_NAME,
        }
        yield DrillServers(failing, other, addresses)
