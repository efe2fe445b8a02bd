"""What is shown of a failed image build."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from stackctl.core.images.build_output import parse_build_failure

FAILED_STEP = """\
#7 [build 3/5] RUN --mount=type=secret,id=ca python3 -m venv /opt/venv && pip install -r requirements.lock
#7 12.34 Collecting fastapi
#7 13.01 ERROR: Could not find a version that satisfies the requirement fastapi==0.1
#7 13.02 ERROR: No matching distribution found for fastapi==0.1
#7 13.40 [notice] A new release of pip is available
#7 ERROR: process "/bin/sh -c python3 -m venv" did not complete successfully: exit code: 1
------
 > [build 3/5] RUN --mount=type=secret,id=ca python3 -m venv /opt/venv && pip install -r requirements.lock:
12.34 Collecting fastapi
13.01 ERROR: Could not find a version that satisfies the requirement fastapi==0.1
13.02 ERROR: No matching distribution found for fastapi==0.1
13.40 [notice] A new release of pip is available
------
Dockerfile:12
--------------------
  11 |     COPY requirements.lock /build/requirements.lock
  12 | >>> RUN pip install
--------------------
ERROR: failed to build: failed to solve: process "/bin/sh -c python3" did not complete successfully: exit code: 1
"""
NO_BASE = """\
#2 ERROR: failed to resolve source metadata for docker.io/library/python:0: not found
------
 > [internal] load metadata for docker.io/library/python:0:
------
ERROR: failed to build: failed to solve: python:0: failed to resolve source metadata: not found
"""


def test_the_failing_step_and_its_own_last_lines_are_found() -> None:
    failure = parse_build_failure(FAILED_STEP)
    assert failure.step.startswith("[build 3/5] RUN --mount")
    assert len(failure.step) <= 100
    assert failure.cause == "ERROR: No matching distribution found for fastapi==0.1"
    assert failure.lines[0] == "Collecting fastapi"
    assert failure.lines[-1].startswith("[notice]")
    assert not any("Dockerfile" in line for line in failure.lines)


def test_a_step_that_printed_nothing_leaves_the_build_s_own_words() -> None:
    failure = parse_build_failure(NO_BASE)
    assert failure.step == "[internal] load metadata for docker.io/library/python:0"
    assert failure.cause.endswith("failed to resolve source metadata: not found")


def test_an_end_without_a_step_is_shown_as_it_is() -> None:
    failure = parse_build_failure("unknown flag: --secret\n\nSee 'docker build --help'.")
    assert (failure.step, failure.lines) == ("", ("unknown flag: --secret", "See 'docker build --help'."))


@given(st.text(st.sampled_from("-> #\n:1.aE"), max_size=200))
def test_any_output_has_a_cause(output: str) -> None:
    assert parse_build_failure(output).lines
