"""Look at what the gateway does now, again and again. Does I/O through its effects: asks the running gateway."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from stackctl.core.live.exposition import Scrape, parse_scrape
from stackctl.core.live.picture import Picture, build_picture
from stackctl.core.settings.places import find_gateway_url
from stackctl.core.settings.settings import Settings
from stackctl.core.settings.sources import check_secrets
from stackctl.errors import NotRunning, UnhealthyError
from stackctl.operations.effects import Effects
from stackctl.operations.site.load_settings import load_settings
from stackctl.operations.site.state import load_state

ASK_S = 10.0


def watch_gateway(effects: Effects, interval_s: float) -> Iterator[Picture]:
    """A picture after each interval, without end; the first one after the first interval.

    Raises:
        NotRunning: the stack is stopped.
        UnhealthyError: the gateway does not answer, refuses the key, or answers what is no metrics.
    """
    if load_state(effects.files, effects.paths) is None:
        raise NotRunning("The stack is not running: nothing was started from this folder.", "run 'stackctl up'")
    settings = load_settings(effects)[0].values
    check_secrets(settings, ".env")
    before = _scrape(effects, settings)
    while True:
        effects.clock.sleep(interval_s)
        after = _scrape(effects, settings)
        yield build_picture(before, after, _load_health(effects, settings))
        before = after


def _scrape(effects: Effects, settings: Settings) -> Scrape:
    try:
        return parse_scrape(_ask(effects, settings, "/metrics"), effects.clock.monotonic())
    except ValueError as error:
        raise UnhealthyError(f"{find_gateway_url(settings)}/metrics: {error}.", "run 'stackctl health'") from error


def _load_health(effects: Effects, settings: Settings) -> dict[str, Any]:
    try:
        found = json.loads(_ask(effects, settings, "/health"))
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


def _ask(effects: Effects, settings: Settings, path: str) -> str:
    url = f"{find_gateway_url(settings)}{path}"
    answer = effects.network.fetch(url, key=settings.gateway_admin_key, timeout_s=ASK_S)
    if answer.status == 0:
        raise UnhealthyError(f"The gateway does not answer at {url}: {answer.error}.", "run 'stackctl health'")
    if answer.status in (401, 403):
        hint = "run 'stackctl up', so that the gateway has the keys of .env"
        raise UnhealthyError(f"The gateway at {url} refuses GATEWAY_ADMIN_KEY of .env.", hint)
    if answer.status != 200:
        raise UnhealthyError(f"{url} answered {answer.status}.", "run 'stackctl health'")
    return answer.body
