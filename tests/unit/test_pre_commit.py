"""What pre-commit is told: to run what `make check` runs, and to fetch nothing."""

from __future__ import annotations

import yaml

from tests.fakes import CHECKOUT


def test_a_commit_is_checked_as_ci_does_and_nothing_is_fetched() -> None:
    repositories = yaml.safe_load((CHECKOUT / ".pre-commit-config.yaml").read_text(encoding="utf-8"))["repos"]
    assert [repository["repo"] for repository in repositories] == ["local"]
    (hook,) = repositories[0]["hooks"]
    assert (hook["entry"], hook["language"]) == ("make check", "system")
    # Each file by itself would miss what types and import contracts say of the whole.
    assert (hook["pass_filenames"], hook["always_run"]) == (False, True)
