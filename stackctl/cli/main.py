"""The command line: global options, the list of commands, exit codes; the one place that constructs adapters.

Commands are imported when they are run, so ``--help`` answers at once.
"""

from __future__ import annotations

import gc
import os
import sys
from collections.abc import Callable, Mapping
from contextlib import suppress
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING

import click

from stackctl import __version__
from stackctl.adapters.machine.interrupts import hold_interrupts, interrupt_once
from stackctl.cli.console import Progress
from stackctl.cli.context import Context as Context
from stackctl.cli.program import INTERRUPTED, prepare_streams, run_program
from stackctl.errors import RuntimeFailure

if TYPE_CHECKING:
    from stackctl.adapters.process.process_runtime import Need
    from stackctl.core.machine.host import Host
    from stackctl.core.site.loaded_site import LoadedSite
    from stackctl.core.site.site_state import SiteState
    from stackctl.operations.effects import Effects, Runtime
    from stackctl.operations.engine.installations import Installation

COMMANDS = {
    "init": "Make a site folder: .env with fresh keys, stack.yml, models/.",
    "up": "Start the stack and wait until it answers.",
    "down": "Stop the stack.",
    "restart": "Restart services and wait until the stack is healthy.",
    "status": "Show what runs.",
    "health": "Ask every layer whether it works.",
    "doctor": "Check this machine and this site before anything starts.",
    "logs": "Show services' output.",
    "chat": "Ask a model through the gateway.",
    "models": "List models; pull, add and verify their files; recommend some.",
    "images": "Pin images to their digests; remove old ones that were built here.",
    "config": "Show the settings and where each came from.",
    "render": "Write the files that the stack starts from.",
    "offline-keygen": "Make the keys that bundles are signed and checked with.",
    "offline-pack": "Pack this stack into a bundle for a site without a network.",
    "offline-verify": "Compare bundles, or what was installed from them, with their manifests.",
    "offline-diff": "Show what changed between two bundles.",
    "offline-load": "Bring a bundle to this site, checked and in one step.",
    "offline-rollback": "Go back to the release before, or to another that was kept.",
    "offline-prune": "Remove old releases, with the models and images that only they used.",
    "offline-prove": "Show that the stack works without a network, with a signed receipt.",
}
# Where commands lie that are not in this folder itself; those on bundles are told by their name.
_ROOMS = {
    **dict.fromkeys(("init", "up", "down", "restart", "render"), "run."),
    **dict.fromkeys(("status", "health", "doctor", "logs", "chat", "config"), "look."),
    **{name: "bundle." for name in COMMANDS if name.startswith("offline-")},
}


class _LazyGroup(click.Group):
    """A group that knows its commands' names and imports one only to run it."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        name = cmd_name.replace("-", "_")
        command = getattr(import_module(f"stackctl.cli.{_ROOMS.get(cmd_name, '')}{name}"), name)
        assert isinstance(command, click.Command)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl(list(COMMANDS.items()))

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        if args and not args[0].startswith("-") and args[0] not in COMMANDS:
            from stackctl.errors import suggest_nearest

            hint = suggest_nearest(args[0], COMMANDS)
            ctx.fail(f"No such command '{args[0]}'" + (f"; {hint}" if hint else "."))
        return super().resolve_command(ctx, args)


@click.group(cls=_LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.option(
    "--site",
    type=click.Path(path_type=Path, file_okay=False),
    help="The site's folder; by default the current one, or the nearest above it that is one.",
)
@click.option("--debug", is_flag=True, help="Show a traceback when something fails.")
@click.version_option(__version__, prog_name="stackctl")
@click.pass_context
def cli(context: click.Context, site: Path | None, debug: bool) -> None:
    """Run a team's local AI stack: llama.cpp behind one gateway for editors and SDKs."""
    context.obj = Context((site or Path()).resolve(), is_named=site is not None)


def main() -> None:
    """Run, and turn every failure into its exit code."""
    gc.set_threshold(20_000)  # imports make much and leave no garbage: looking for it took a tenth of a start
    prepare_streams()
    debug = "--debug" in sys.argv
    with interrupt_once():
        code = run_program(cli, debug=debug)
    if code == INTERRUPTED:  # a thread may still wait for an answer, and Python would wait for the thread
        for stream in (sys.stdout, sys.stderr):
            with suppress(OSError, ValueError):
                stream.flush()
        os._exit(code)
    sys.exit(code)


def build_effects(site: Path, flags: Mapping[str, str], progress: Progress) -> Effects:
    """The real world for one operation."""
    import secrets
    import shutil
    import time

    import stackctl
    from stackctl.adapters.files import site_files
    from stackctl.adapters.http import service_calls
    from stackctl.adapters.machine import host, processes
    from stackctl.adapters.machine.commands import run_command
    from stackctl.adapters.models import gguf
    from stackctl.adapters.process import engine_store, environments
    from stackctl.operations.effects import Effects

    data_root, cache_dir = site_files.find_data_root(), site_files.find_cache_dir(os.environ)

    def load_host(with_docker: bool) -> Host:
        # Without Docker's answer it is the quicker by 0.3 s.
        find = shutil.which if with_docker else (lambda name: None if name.startswith("docker") else shutil.which(name))
        return host.load_host(run_command, (site, cache_dir), find_program=find)

    effects = Effects(
        site=site,
        data_root=data_root,
        cache_dir=cache_dir,
        environment=os.environ,
        flags=flags,
        python=sys.executable,
        launcher=Path(stackctl.__file__).parent / "programs" / "launch.py",
        report=progress.report,
        confirm=progress.confirm,
        load_text=site_files.load_text,
        save_text=site_files.save_text,
        remove_file=lambda path: path.unlink(missing_ok=True),
        is_link=Path.is_symlink,
        hash_folder=site_files.hash_folder,
        hold_lock=site_files.hold_lock,
        load_model_files=gguf.load_model_files,
        find_program=shutil.which,
        load_cpu_features=processes.load_cpu_features,
        find_environment=lambda lock, variables: environments.find_environment(cache_dir, lock, variables),
        engines=engine_store.EngineStore(cache_dir, data_root),
        load_host=load_host,
        load_memory_bytes=host.load_memory_bytes,
        load_file_facts=host.load_file_facts,
        load_gpu_memory=lambda: processes.load_gpu_memory(run_command, shutil.which),
        list_ancestors=processes.list_ancestors,
        load_resident_bytes=processes.load_resident_bytes,
        make_runtime=lambda name, loaded, gpu: _make_runtime(effects, name, loaded, gpu),
        find_runtime=lambda state: _find_runtime(effects, state),
        find_forgotten=lambda name: _find_forgotten(effects, name),
        hold_interrupts=hold_interrupts,
        is_same_file=site_files.is_same_file,
        fetch=service_calls.fetch,
        stream_chat=service_calls.stream_chat,
        make_key=lambda: f"sk-{secrets.token_urlsafe(32)}",
        clock=time.monotonic,
        sleep=time.sleep,
    )
    return effects


def _make_runtime(effects: Effects, name: str, loaded: LoadedSite, gpu: str) -> Runtime:
    from stackctl.operations.site.state import load_state

    settings = loaded.settings
    if name == "compose":
        from stackctl.adapters.docker.compose_runtime import ComposeRuntime
        from stackctl.core.images.build import list_builds, list_loaded, list_pulls
        from stackctl.core.images.checks import list_named_images

        engine = loaded.compose.engine
        builds = list_builds(settings, engine, loaded.images, str(effects.data_root), gpu)
        return ComposeRuntime(
            settings.stack_name,
            effects.rendered_dir,
            list_pulls(loaded.images, gpu),
            builds,
            uses_curl=engine.launcher is None,
            loaded=list_loaded(loaded.images, gpu),
            former=_find_former(effects, load_state(effects)),
            named=list_named_images(settings, engine, loaded.images),
        )
    from stackctl.adapters.process.process_runtime import ProcessRuntime
    from stackctl.operations.engine.installations import list_installations

    wheels = Path(loaded.release.wheels) if loaded.release else None
    needs = tuple(
        _build_need(effects, item, settings.pip_index_url, wheels) for item in list_installations(effects, loaded)
    )
    return ProcessRuntime(effects.state_dir, effects.rendered_dir, needs, _find_former(effects, load_state(effects)))


def _find_runtime(effects: Effects, state: SiteState) -> Runtime:
    if state.runtime == "compose":
        from stackctl.adapters.docker.compose_runtime import ComposeRuntime

        former = _find_former(effects, state)
        return ComposeRuntime(state.project, effects.rendered_dir, (), (), uses_curl=True, former=former)
    from stackctl.adapters.process.process_runtime import ProcessRuntime

    return ProcessRuntime(effects.state_dir, effects.rendered_dir, (), _find_former(effects, state))


def _find_former(effects: Effects, state: SiteState | None) -> Path | None:
    """The state folder from which the stack was started, if its site was moved since."""
    from stackctl.operations.site.state import find_former_site

    former = find_former_site(effects, state) if state else None
    return former / effects.state_dir.name if former else None


def _find_forgotten(effects: Effects, name: str) -> tuple[Runtime, ...]:
    if name == "compose":
        from stackctl.adapters.docker.compose_runtime import ComposeRuntime, find_projects

        projects = find_projects(effects.rendered_dir)
        return tuple(ComposeRuntime(item, effects.rendered_dir, (), (), uses_curl=True) for item in projects)
    from stackctl.adapters.process.process_runtime import ProcessRuntime

    runtime = ProcessRuntime(effects.state_dir, effects.rendered_dir, ())
    return (runtime,) if runtime.list_states() or runtime.list_leftovers() else ()


def _build_need(effects: Effects, item: Installation, index_url: str, wheels: Path | None) -> Need:
    import shlex

    from stackctl.adapters.process import engine_build, environments
    from stackctl.adapters.process.process_runtime import Need

    def is_built() -> bool:
        return engine_build.is_built(item.target)

    if item.build and wheels:
        return Need(item.title, is_built, _refuse_build, f"# put {item.title} on PATH")
    if item.build:
        build, folder = item.build, item.target.parent
        return Need(
            item.title,
            is_built,
            lambda write: effects.engines.make(item.target, build, index_url, write),
            shlex.join(["python", "services/inference/build_llama_server.py", *build.arguments, str(folder)]),
        )
    assert item.lock is not None
    lock, folder = item.lock, item.target.parent.parent
    source = f"--offline --no-index --find-links {wheels} " if wheels else ""
    return Need(
        item.title,
        lambda: environments.is_complete(folder),
        lambda write: environments.make_environment(folder, lock, item.variables, index_url, write, wheels),
        f"uv pip install --require-hashes {source}-r {lock}  # into {folder}",
    )


def _refuse_build(write: Callable[[str], None]) -> None:
    raise RuntimeFailure(
        "The installed release has no llama-server for the process runtime, and nothing is built where it runs.",
        "put a llama-server on PATH, or set INFERENCE_ENGINE=auto",
    )
