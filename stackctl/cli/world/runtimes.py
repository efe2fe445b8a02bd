"""The runtimes of a site: where its services run, or what still runs of them. Constructs the adapters of both."""

from __future__ import annotations

import shlex
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from stackctl.errors import RuntimeFailure
from stackctl.operations.site.state import find_former_site, load_state

if TYPE_CHECKING:
    from stackctl.adapters.docker.compose_runtime import ComposeRuntime
    from stackctl.adapters.process.process_runtime import Need, ProcessRuntime
    from stackctl.core.site.loaded_site import LoadedSite
    from stackctl.core.site.site_state import SiteState
    from stackctl.operations.effects import Engines, Files, Paths, Runtime
    from stackctl.operations.engine.installations import Installation


@dataclass(frozen=True, slots=True)
class SiteRuntimes:
    """Both runtimes of one site; the adapter of each is imported only where it is needed."""

    paths: Paths
    files: Files
    engines: Engines

    def make(self, name: str, loaded: LoadedSite, gpu: str) -> Runtime:
        """The runtime of this name that can start the site's stack with this GPU."""
        former = self._find_former(load_state(self.files, self.paths))
        return self._make_compose(loaded, gpu, former) if name == "compose" else self._make_process(loaded, former)

    def find(self, state: SiteState) -> Runtime:
        """The runtime of a started stack, to look at it or to stop it."""
        former = self._find_former(state)
        if state.runtime == "compose":
            from stackctl.adapters.docker.compose_runtime import ComposeRuntime

            return ComposeRuntime(state.project, self.paths.rendered_dir, uses_curl=True, former=former)
        from stackctl.adapters.process.process_runtime import ProcessRuntime

        return ProcessRuntime(self.paths.state_dir, self.paths.rendered_dir, (), former)

    def find_forgotten(self, name: str) -> tuple[Runtime, ...]:
        """Runtimes of this name in which something of this site still runs."""
        if name == "compose":
            from stackctl.adapters.docker.projects import find_projects

            projects = find_projects(self.paths.rendered_dir)
            if not projects:
                return ()
            from stackctl.adapters.docker.compose_runtime import ComposeRuntime

            return tuple(ComposeRuntime(item, self.paths.rendered_dir, uses_curl=True) for item in projects)
        from stackctl.adapters.process.process_runtime import ProcessRuntime

        runtime = ProcessRuntime(self.paths.state_dir, self.paths.rendered_dir, ())
        return (runtime,) if runtime.list_states() or runtime.list_leftovers() else ()

    def _make_compose(self, loaded: LoadedSite, gpu: str, former: Path | None) -> ComposeRuntime:
        from stackctl.adapters.docker.compose_runtime import ComposeRuntime
        from stackctl.adapters.docker.site_images import SiteImages
        from stackctl.core.images.build import list_builds, list_loaded, list_pulls
        from stackctl.core.images.checks import list_named_images

        settings, engine, images = loaded.settings, loaded.compose.engine, loaded.images
        return ComposeRuntime(
            settings.stack_name,
            self.paths.rendered_dir,
            SiteImages(
                list_pulls(images, gpu),
                list_builds(settings, engine, images, str(self.paths.data_root), gpu),
                list_loaded(images, gpu),
                list_named_images(settings, engine, images),
            ),
            uses_curl=engine.launcher is None,
            former=former,
        )

    def _make_process(self, loaded: LoadedSite, former: Path | None) -> ProcessRuntime:
        from stackctl.adapters.process.process_runtime import ProcessRuntime
        from stackctl.operations.engine.installations import list_installations

        wheels = Path(loaded.release.wheels) if loaded.release else None
        items = list_installations(self.paths.data_root, loaded)
        needs = tuple(self.build_need(item, loaded.settings.pip_index_url, wheels) for item in items)
        return ProcessRuntime(self.paths.state_dir, self.paths.rendered_dir, needs, former)

    def _find_former(self, state: SiteState | None) -> Path | None:
        """The state folder from which the stack was started, if its site was moved since."""
        former = find_former_site(self.paths, state) if state else None
        return former / self.paths.state_dir.name if former else None

    def build_need(self, item: Installation, index_url: str, wheels: Path | None) -> Need:
        """A program that has to be there before processes can start, and how it gets there."""
        return (
            self._build_engine_need(item, index_url, wheels)
            if item.build
            else _build_environment_need(item, index_url, wheels)
        )

    def _build_engine_need(self, item: Installation, index_url: str, wheels: Path | None) -> Need:
        """An engine that is to be compiled; at a site whose wheels came in a bundle nothing is compiled."""
        from stackctl.adapters.process.engine_build import is_built
        from stackctl.adapters.process.process_runtime import Need

        build, folder, engines = item.build, item.target.parent, self.engines
        assert build is not None
        if wheels:
            return Need(item.title, lambda: is_built(item.target), _refuse_build, f"# put {item.title} on PATH")
        return Need(
            item.title,
            lambda: is_built(item.target),
            lambda write: engines.make(item.target, build, index_url, write),
            shlex.join(["python", "services/inference/build_llama_server.py", *build.arguments, str(folder)]),
        )


def _build_environment_need(item: Installation, index_url: str, wheels: Path | None) -> Need:
    """A virtual environment to make from a lock, out of the bundle's wheels where there are any."""
    from stackctl.adapters.process import environments
    from stackctl.adapters.process.process_runtime import Need

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
