"""Get images onto this machine: pulled from a registry, or built here. Through the docker CLI, with its progress."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace

from stackctl.adapters.commands import stream_command
from stackctl.core.image_build import ImageBuild
from stackctl.core.runtime import CompletedCommand
from stackctl.errors import ImageUnavailable, RuntimeFailure


def pull_image(image: str, report: Callable[[str], None]) -> None:
    """Pull an image.

    Raises:
        ImageUnavailable: no registry gave it.
    """
    done = stream_command(["docker", "pull", image], lambda line: report(f"pulling {image}: {line}"))
    hint = "load it with 'docker load', or name another one with INFERENCE_IMAGE or GATEWAY_IMAGE"
    check_command(done, f"The image {image} is not here and could not be pulled", hint, ImageUnavailable)


def build_image(build: ImageBuild, report: Callable[[str], None]) -> None:
    """Build an image.

    Raises:
        ImageUnavailable: the build failed; with the end of its output.
    """
    report(f"building {build.tag} (once; the next start finds it)")
    argv = build.build_argv()
    done = stream_command(argv, lambda line: report(f"building {build.title}: {line}"), build.environment)
    done = replace(done, stderr=find_build_errors(done.stderr))
    hint = "BASE_IMAGE, BUILD_CA_BUNDLE and PIP_INDEX_URL in .env say what to build on and through"
    check_command(done, f"The image {build.tag} could not be built", hint, ImageUnavailable)


def find_build_errors(output: str) -> str:
    """What the failed step itself said of errors; BuildKit's last lines only quote the Dockerfile.

    Args:
        output: of ``docker build --progress=plain``, in which a step's lines begin with ``#7 12.34``.
    """
    lines = [match[1] for match in re.finditer(r"^#\d+ \d+\.\d+ (.*error.*)$", output, re.IGNORECASE | re.MULTILINE)]
    return "\n".join(lines) or output


def check_command(done: CompletedCommand, what: str, hint: str, error: type[RuntimeFailure] = RuntimeFailure) -> None:
    """Turn a command that failed into an error.

    Raises:
        RuntimeFailure: with the command, its code and the end of what it said.
    """
    if done.code:
        raise error(f"{what}: {done.render_failure()}", hint)
