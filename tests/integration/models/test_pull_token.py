"""The hub's token goes to the hub alone, and nothing shows it."""

from __future__ import annotations

import pytest

from tests.integration.hub_server import Hub, run_hub
from tests.integration.models.pulling import REFERENCE, PullSite

TOKEN = "hf_planted_token_0123456789"


def test_the_token_goes_to_the_hub_alone_and_is_never_shown(site: PullSite, hub: Hub, model: bytes) -> None:
    (site.folder / ".env").write_text(f"HF_TOKEN={TOKEN}\n")
    hub.switches.redirects = 1
    done = site.run("pull", hub.add(REFERENCE, model))
    assert done.code == 0, done.err
    sent = {
        item.server: {r.headers.get("authorization") for r in hub.requests if r.server == item.server}
        for item in hub.requests
    }
    assert sent == {"hub": {f"Bearer {TOKEN}"}, "content": {None}}
    kept = "".join(
        path.read_text(errors="replace") for path in site.models.rglob("*") if path.suffix != ".gguf" and path.is_file()
    )
    assert TOKEN not in done.text + kept


@pytest.mark.parametrize("fault", ["401", "away", "bad", "plain"])
def test_no_failure_shows_or_leaks_the_token(site: PullSite, hub: Hub, model: bytes, fault: str) -> None:
    token, reference = TOKEN, hub.add(REFERENCE, model)
    if fault == "401":
        hub.switches.hub_status = 401
    if fault == "bad":
        token = f"{TOKEN} second"
    if fault == "plain":
        reference = f"{hub.content}/{REFERENCE}"
    with run_hub() as other:
        if fault == "away":
            hub.switches.away = other.endpoint  # a second hub, which knows nothing of the file
        done = site.run("pull", reference, HF_TOKEN=token)
        seen = {item.headers.get("authorization") for item in (*other.requests, *hub.list_bodies())}
    assert seen <= {None}
    assert TOKEN not in done.text
