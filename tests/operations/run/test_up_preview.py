"""What up would do, shown and not done; and a site's own override of the Compose file."""

from __future__ import annotations

import pytest

from stackctl.operations.run.up import preview_up, run_up
from tests.fakes import SITE, World, raised_by, write_env


def test_a_dry_run_changes_nothing_and_says_what_would_happen(world: World) -> None:
    files = dict(world.files)
    preview = preview_up(world.effects)
    assert world.files == files
    assert world.runtimes["compose"].calls == []
    assert "+++ rendered/compose.p1.yml" in preview.difference
    assert preview.commands == ("start 4 services",)
    assert "planted" not in preview.difference
    run_up(world.effects)
    assert preview_up(world.effects).difference == ""


@pytest.mark.parametrize(("runtime", "other"), [("compose", "supervisord.p1.conf"), ("process", "compose.p1.yml")])
def test_a_dry_run_shows_the_files_of_the_runtime_that_is_meant_and_no_others(
    world: World, runtime: str, other: str
) -> None:
    world.files[SITE / ".env"] = write_env(STACK_RUNTIME=runtime, STACK_GPU="none")
    preview = preview_up(world.effects)
    assert preview.runtime == runtime
    assert "config.p1.yaml" in preview.difference
    assert other not in preview.difference
    assert "compose.p1.gpu-" not in preview.difference


OVERRIDE = "services:\n  api-gateway:\n    labels: {team: one}\n"


@pytest.mark.parametrize("name", ["compose.override.yml", "docker-compose.override.yaml"])
def test_an_override_beside_the_site_is_started_from_and_shown(world: World, name: str) -> None:
    world.files[SITE / name] = OVERRIDE
    preview = preview_up(world.effects)
    assert "+++ rendered/compose.override.yml" in preview.difference
    assert "+    labels: {team: one}" in preview.difference
    assert run_up(world.effects).running.plan.override == OVERRIDE
    copy = SITE / ".stack" / "rendered" / "compose.override.yml"
    assert world.files[copy] == OVERRIDE
    assert preview_up(world.effects).difference == ""
    # One that is taken away is shown as gone, and is.
    del world.files[SITE / name]
    assert "-    labels: {team: one}" in preview_up(world.effects).difference
    assert run_up(world.effects).running.plan.override == ""
    assert copy not in world.files


def test_two_overrides_are_refused(world: World) -> None:
    world.files |= {SITE / "compose.override.yml": OVERRIDE, SITE / "compose.override.yaml": OVERRIDE}
    error = raised_by(lambda: preview_up(world.effects))
    assert error.exit_code == 3
    assert "compose.override.yml and compose.override.yaml" in error.message


def test_an_override_that_nothing_reads_is_said(world: World) -> None:
    world.files[SITE / "compose.override.yml"] = OVERRIDE
    world.files[SITE / ".env"] = write_env(STACK_RUNTIME="process")
    for warnings in (preview_up(world.effects).warnings, run_up(world.effects).warnings):
        assert "compose.override.yml" in [finding.subject for finding in warnings]
