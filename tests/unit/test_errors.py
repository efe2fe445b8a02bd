"""The error tree: exit codes, findings in the files' order, the nearest name."""

from __future__ import annotations

import pytest

from stackctl import errors
from stackctl.errors import ConfigError, Finding, Severity, StackError, raise_config_error, suggest_nearest
from tests.fakes import raised_by


@pytest.mark.parametrize(
    ("name", "code"),
    [
        ("ConfigError", 3),
        ("RenderError", 4),
        ("RuntimeFailure", 5),
        ("ImageUnavailable", 5),
        ("UnhealthyError", 6),
        ("BundleError", 7),
    ],
)
def test_every_kind_of_failure_has_its_exit_code(name: str, code: int) -> None:
    kind = getattr(errors, name)
    assert issubclass(kind, StackError)
    assert kind("it failed").exit_code == code


def test_an_error_says_everything_that_was_found() -> None:
    findings = (Finding("A", "is wrong", "correct it", file=".env", line=3), Finding("B", "is missing"))
    assert str(ConfigError("Not usable.", "", findings)) == "Not usable.\n  .env:3: A: is wrong\n  B: is missing"


def test_only_errors_stop_and_they_come_in_the_files_order() -> None:
    warning = Finding("W", "odd", severity=Severity.WARNING)
    raise_config_error("Not usable.", [warning])
    later, earlier = (Finding("X", "wrong", f"hint {line}", file="a", line=line) for line in (9, 2))
    error = raised_by(lambda: raise_config_error("Not usable.", [warning, later, earlier]))
    assert list(error.findings) == [earlier, later]
    assert error.hint == "hint 2"


@pytest.mark.parametrize(
    ("name", "suggestion"),
    [
        ("chat_model", "did you mean 'CHAT_MODEL'?"),
        ("CHATMODEL", "did you mean 'CHAT_MODEL'?"),
        ("CODE_MODLE", "did you mean 'CODE_MODEL'?"),
        ("nothing like it", ""),
        ("", ""),
    ],
)
def test_the_nearest_known_name_is_suggested(name: str, suggestion: str) -> None:
    assert suggest_nearest(name, {"CHAT_MODEL", "CODE_MODEL"}) == suggestion
