"""The adapters of the gateway in the local network."""

from __future__ import annotations

from stackctl.adapters.machine import lan
from stackctl.operations.run.lan import LanEffects


def build_lan_effects() -> LanEffects:
    """The real ones."""
    return LanEffects(find_own_names=lan.find_own_names, make_authority=lan.make_authority)
