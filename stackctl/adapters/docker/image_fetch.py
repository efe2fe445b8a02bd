"""Get images onto this machine: pulled from a registry, or built here. Through the docker CLI, with its progress.

In: an image's name, or its ``ImageBuild``. Out: nothing, or why it failed. Does I/O: runs the docker CLI.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from stackctl.adapters.machine.commands import run_command, stream_command
from stackctl.core.images.build_output import parse_build_failure
from stackctl.core.images.checks import NamedImage, check_architecture, check_program, starts_program
from stackctl.errors import ImageUnavailable, RuntimeFailure, raise_config_error

if TYPE_CHECKING:
    from docker import DockerClient

    from stackctl.core.images.build import ImageBuild
    from stackctl.core.stack.runtime import CompletedCommand

VERSION_S = 30.0


def pull_image(image: str, report: Callable[[str], None]) -> None:
    """Pull an image.

    Raises:
        ImageUnavailable: no registry gave the image.
    """
    done = stream_command(["docker", "pull", image], lambda line: report(f"pulling {image}: {line}"))
    if done.code:
        lines = [line for line in done.stderr.splitlines() if line.strip()][-8:] or [done.render_failure()]
        raise ImageUnavailable(
            f"The image {image} is not here and could not be pulled: {lines[-1]}"
            + "".join(f"\n    {line}" for line in lines[:-1]),
            "images.lock or its name says which digest it must have: pull that one where it is to be had, or run "
            "'stackctl images pin' to take what its tag names now"
            if "@" in image
            else "load it with 'docker load', or name another one with INFERENCE_IMAGE or GATEWAY_IMAGE",
        )


def build_image(build: ImageBuild, log: Path, report: Callable[[str], None]) -> None:
    """Build an image.

    Args:
        log: path of the file, readable by this user alone, that keeps all that the build prints.

    Raises:
        ImageUnavailable: the build failed; has the failing step and its last lines.
    """
    report(f"building {build.tag} (once; the next start finds it)")
    log.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    log.unlink(missing_ok=True)
    log.touch(mode=0o600)
    with log.open("w", encoding="utf-8") as kept:

        def keep(line: str) -> None:
            kept.write(line + "\n")
            report(f"building {build.title}: {line}")

        done = stream_command(build.build_argv(), keep, build.environment)
    if done.code:
        failure = parse_build_failure(done.stderr)
        step = f"step '{failure.step}' failed: " if failure.step else ""
        lines = "".join(f"\n    {line}" for line in failure.lines)
        raise ImageUnavailable(
            f"The image {build.tag} could not be built: {step}{failure.cause}{lines}",
            f"all that it printed is in {log}; BASE_IMAGE, BUILD_CA_BUNDLE and PIP_INDEX_URL in .env say what to build "
            "on and through",
        )


def check_named_image(client: DockerClient, named: NamedImage) -> None:
    """Look at an image that a setting names and, where its command says nothing, ask the program for its version.

    Raises:
        ConfigError: the image is for another processor, or starts another program.
    """
    attributes = client.images.get(named.image).attrs
    engine = str(client.version().get("Arch", ""))
    raise_config_error(
        "An image cannot be used.", check_architecture(named, str(attributes.get("Architecture", "")), engine)
    )
    settings = attributes.get("Config") or {}
    command = [*(settings.get("Entrypoint") or ()), *(settings.get("Cmd") or ())]
    is_unclear = named.answers_version and not starts_program(named, command)
    version = _ask_version(named.image) if is_unclear else ""
    raise_config_error("An image cannot be used.", check_program(named, command, version))


def _ask_version(image: str) -> str:
    locked = ("--network=none", "--read-only", "--cap-drop=ALL", "--security-opt=no-new-privileges", "--pids-limit=64")
    name = f"stackctl-version-{secrets.token_hex(8)}"
    try:
        done = run_command(
            ["docker", "run", "--rm", "--name", name, "--pull=never", *locked, image, "--version"], VERSION_S
        )
    finally:  # a client that is ended leaves its container running
        run_command(["docker", "rm", "--force", name], VERSION_S)
    return done.stdout + done.stderr


def check_command(done: CompletedCommand, what: str, hint: str) -> None:
    """Raise an error for a command that failed; return otherwise.

    Raises:
        RuntimeFailure: the command failed; has the command, its exit code and the end of what it said.
    """
    if done.code:
        raise RuntimeFailure(f"{what}: {done.render_failure()}", hint)
