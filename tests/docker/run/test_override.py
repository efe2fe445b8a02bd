"""A site's own compose.override.yml: Compose merges it in, its paths start beside it, and it can be taken away."""

from __future__ import annotations

import json

import pytest

from tests.docker.sites import Site, run_inside

pytestmark = pytest.mark.docker
OVERRIDE = """
services:
  api-gateway:
    labels: {team: one}
    volumes: ["./note.txt:/note.txt:ro"]
"""


def test_an_override_is_honoured_and_shown_in_a_dry_run(stopped: Site) -> None:
    (stopped.folder / "note.txt").write_text("beside the site", encoding="utf-8")
    (stopped.folder / "compose.override.yml").write_text(OVERRIDE, encoding="utf-8")
    preview = json.loads(stopped.run_well("up", "--dry-run", "--json").stdout)
    assert preview["runtime"] == "compose"
    assert "+    labels: {team: one}" in preview["difference"]
    assert "compose.override.yml" in preview["commands"][-1]
    assert stopped.list_remains() == []

    stopped.run_well("up")
    first = stopped.list_containers()
    assert first["api-gateway"].labels["team"] == "one"
    assert run_inside(first["api-gateway"], "cat", "/note.txt") == (0, "beside the site")
    assert "nothing had to change" in stopped.run_well("up").stdout

    (stopped.folder / "compose.override.yml").unlink()
    stopped.run_well("up")
    second = stopped.list_containers()
    assert "team" not in second["api-gateway"].labels
    assert second["inference-chat"].id == first["inference-chat"].id
    stopped.run_well("down")
    assert stopped.list_remains() == []
