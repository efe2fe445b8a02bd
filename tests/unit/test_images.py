"""What is shown of a failed image build."""

from __future__ import annotations

from stackctl.adapters.images import find_build_errors

FRAME = "------\n > [3/5] RUN pip install:\nDockerfile:12\n>>> RUN pip install\nERROR: failed to build: exit code: 1"


def test_the_failed_step_s_own_error_is_shown_and_not_the_frame() -> None:
    said = "#7 12.34 Collecting fastapi\n#7 13.01 ERROR: SSL: CERTIFICATE_VERIFY_FAILED\n"
    assert find_build_errors(said + FRAME) == "ERROR: SSL: CERTIFICATE_VERIFY_FAILED"


def test_a_step_that_said_nothing_of_errors_leaves_the_output() -> None:
    assert find_build_errors(FRAME) == FRAME
