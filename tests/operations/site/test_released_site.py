"""A site that runs what a bundle brought: its stack, settings, models and images, and nothing from a network."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from stackctl.adapters.docker.compose_runtime import ComposeRuntime
from stackctl.adapters.docker.site_images import SiteImages
from stackctl.core.bundle.format.manifest import Manifest, PackedEngine, encode_manifest, seal_manifest
from stackctl.core.bundle.load.release import explain_successor, find_short_id, title_release
from stackctl.core.health.probes import Status
from stackctl.core.images.build import list_builds, list_loaded, list_pulls
from stackctl.core.machine.host import Choice, Host
from stackctl.core.settings.sources import Origin
from stackctl.core.stack.image_choice import choose_release_images
from stackctl.core.stack.names import COMPOSE_FILE
from stackctl.core.stack.runtime import Answer
from stackctl.errors import ConfigError
from stackctl.operations.look.doctor import run_doctor
from stackctl.operations.look.health import check_health
from stackctl.operations.look.listed_models import list_models
from stackctl.operations.look.status import load_status
from stackctl.operations.run.up import run_up
from stackctl.operations.site.load import load_site
from stackctl.operations.site.load_settings import load_release, load_settings
from stackctl.operations.site.placement import choose_device
from stackctl.operations.site.render import load_known_answer, render_site
from stackctl.operations.site.running import load_running
from tests.bundle_builder import ImageBytes, build_bundle
from tests.fakes import SITE, World, raised_by, write_env

ANSWER = Answer(200, '{"choices": [{"message": {"content": "Me."}}], "usage": {"completion_tokens": 1}}')
FILES = {
    "config/stack.yml": b"version: 1\nlimits: {retries: 1}\nmodels: {local-review: {file: review.gguf}}\n",
    "config/settings.env": b"STACK_NAME=packed\nINFERENCE_SLOTS=2\nCHAT_MODEL=demo.gguf\nEMBEDDING_MODEL=none\n",
    "config/known-answer.json": b'{"question": "Who?", "answer": "Me."}',
}
MODELS = {"local-chat": {"demo.gguf": b"chat"}, "local-review": {"review.gguf": b"review"}}
IMAGES = [ImageBytes("api-gateway", [{"a": b"a"}]), ImageBytes("inference", [{"b": b"b"}])]


def name_use(manifest: Manifest) -> Manifest:
    """The same manifest with the engine's image for the CPU alone."""
    images = tuple(
        image if image.uses == ("api-gateway",) else image.model_copy(update={"uses": ("inference.none",)})
        for image in manifest.images
    )
    fields = {name: getattr(manifest, name) for name in Manifest.model_fields if name not in ("format", "id")}
    return seal_manifest(**fields | {"images": images})


def install(world: World, folder: Path, **changes: Any) -> Manifest:
    """Put a release where offline-load puts it, and make it current."""
    given: dict[str, Any] = {"files": FILES, "models": MODELS, "images": IMAGES} | changes
    manifest = name_use(build_bundle(folder, **given))
    text = encode_manifest(manifest).decode()
    for place in ("current", f"releases/{manifest.short_id}"):
        world.files[SITE / "offline" / place / "bundle.json"] = text
        for path, data in given["files"].items():
            world.files[SITE / "offline" / place / "files" / path] = data.decode()
    world.files.pop(SITE / "stack.yml", None)
    return manifest


@pytest.fixture
def release(world: World, tmp_path: Path) -> Manifest:
    return install(world, tmp_path)


def test_settings_of_the_release_are_stronger_than_defaults_and_weaker_than_the_site(
    world: World, release: Manifest
) -> None:
    world.files[SITE / ".env"] = write_env(INFERENCE_SLOTS=3)
    resolved, stackfile = load_settings(world.effects)
    assert (resolved.values.stack_name, resolved.origins["STACK_NAME"]) == ("packed", Origin.RELEASE)
    assert (resolved.values.inference_slots, resolved.origins["INFERENCE_SLOTS"]) == (3, Origin.DOTENV)
    assert resolved.origins["API_GATEWAY_PORT"] is Origin.DEFAULT
    assert stackfile.limits.retries == 1


def test_a_bad_setting_of_the_release_is_named_with_its_file(world: World, tmp_path: Path) -> None:
    manifest = install(world, tmp_path, files={**FILES, "config/settings.env": b"\nINFERENCE_SLOTS=many\n"})
    text = str(raised_by(lambda: load_settings(world.effects)))
    assert f"releases/{manifest.short_id}/files/config/settings.env:2: INFERENCE_SLOTS: is 'many'" in text


def test_models_come_from_the_store_whose_paths_outlive_releases(world: World, release: Manifest) -> None:
    models = {model.served_name: model.path for model in load_site(world.effects).compose.models}
    digests = {model.served_names[0]: model.digest[:16] for model in release.models}
    assert models == {
        "local-chat": f"/site/offline/store/models/{digests['local-chat']}/demo.gguf",
        "local-review": f"/site/offline/store/models/{digests['local-review']}/review.gguf",
    }
    notes = {row.served_name: row.note for row in list_models(world.effects)}
    assert f"packed 1 ({release.short_id})".removeprefix("packed") in notes["local-review"]


def test_a_model_that_the_site_names_itself_is_its_own(world: World, release: Manifest) -> None:
    world.files[SITE / ".env"] = write_env(CHAT_MODEL="mine.gguf")
    assert load_site(world.effects).compose.models[0].path == "/site/models/mine.gguf"


def test_images_are_those_that_were_loaded_and_are_never_pulled_or_built(world: World, release: Manifest) -> None:
    loaded = load_site(world.effects)
    aliases = {image.uses[0]: image.alias for image in release.images}
    compose = render_site(world.effects, loaded).files[COMPOSE_FILE]
    for alias in aliases.values():
        assert f'image: "{alias}"' in compose
    assert compose.count("pull_policy: never") == 4
    assert "pull_policy: missing" not in compose
    engine = loaded.compose.engine
    assert list_pulls(loaded.images, "none") == ()
    assert list_builds(loaded.settings, engine, loaded.images, "/opt", "none") == ()
    assert set(list_loaded(loaded.images, "none")) == set(aliases.values())


def test_compose_is_told_never_to_pull(world: World, release: Manifest) -> None:
    world.answers["/v1/chat/completions"] = ANSWER
    plan = run_up(world.effects).running.plan
    released = ComposeRuntime("p", Path("/r"), SiteImages(loaded=("a.invalid/b:1",)), uses_curl=True)
    (command,) = released.list_commands(plan)
    assert command.endswith("up --detach --remove-orphans --no-build --pull never")


def test_the_known_answer_is_the_release_s(world: World, release: Manifest) -> None:
    assert load_known_answer(world.effects, load_release(world.effects)) == ("Who?", "Me.")


def test_an_own_stack_file_that_says_something_else_is_refused(world: World, release: Manifest) -> None:
    world.files[SITE / "stack.yml"] = "version: 1\nlimits: {retries: 2}\n"
    error = raised_by(lambda: load_site(world.effects))
    assert isinstance(error, ConfigError)
    assert error.hint == "move it away: mv '/site/stack.yml' '/site/stack.yml.before'"
    world.files[SITE / "stack.yml"] = FILES["config/stack.yml"].decode()
    load_site(world.effects)


def test_a_gpu_that_the_release_has_no_image_for(
    world: World, release: Manifest, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        "stackctl.operations.site.placement.choose_gpu", lambda host, wanted: Choice("nvidia", "NVIDIA X")
    )
    loaded = load_site(world.effects)
    choice, (warning,) = choose_device(world.effects, world.host, loaded, "compose")
    assert choice.value == "none"
    assert "has no engine image for 'nvidia', only for none" in warning.message
    world.environment["STACK_GPU"] = "nvidia"
    error = raised_by(lambda: choose_device(world.effects, world.host, load_site(world.effects), "compose"))
    assert isinstance(error, ConfigError)
    assert "STACK_GPU=none" in error.hint


def test_an_app_that_the_release_has_no_image_for(world: World, release: Manifest) -> None:
    world.answers["/v1/chat/completions"] = ANSWER
    world.environment |= {"STACK_RUNTIME": "compose", "STACK_APPS": "redis", "REDIS_PASSWORD": "planted-redis-password"}
    error = raised_by(lambda: run_up(world.effects))
    assert isinstance(error, ConfigError)
    assert f"REDIS_IMAGE: release test-stack 1 ({release.short_id}) has no image for redis" in str(error)
    assert "REDIS_IMAGE" in error.hint
    assert world.runtimes["compose"].calls == []
    world.environment["REDIS_IMAGE"] = "here.example/redis:7"
    assert "redis" in run_up(world.effects).started


@pytest.mark.parametrize(("runtimes", "chosen"), [(("process",), "process"), (("compose",), "compose")])
def test_a_release_for_one_runtime_runs_in_that_one(
    world: World, tmp_path: Path, runtimes: tuple[str, ...], chosen: str
) -> None:
    manifest = install(world, tmp_path, runtimes=runtimes)
    world.answers["/v1/chat/completions"] = ANSWER
    run_up(world.effects)
    status = load_status(world.effects)
    assert status is not None
    title = f"test-stack 1 ({manifest.short_id})"
    assert (status.runtime, status.release) == (chosen, title)
    assert any(f"runtime: {chosen} (release {title} has parts for it alone)" in line for line in world.reports)
    world.environment["STACK_RUNTIME"] = "compose" if chosen == "process" else "process"
    error = raised_by(lambda: run_up(world.effects))
    assert isinstance(error, ConfigError)
    assert f"has parts for {chosen} only" in error.message


def test_a_release_for_containers_alone_says_so_where_there_is_no_engine(world: World, tmp_path: Path) -> None:
    install(world, tmp_path, runtimes=("compose",))
    world.host = Host()
    error = raised_by(lambda: run_up(world.effects))
    assert "has parts for it alone. But there is no docker command" in error.message
    assert "STACK_RUNTIME" not in error.message + error.hint


def test_the_next_release_restarts_only_what_changed(world: World, tmp_path: Path) -> None:
    world.answers["/v1/chat/completions"] = ANSWER
    install(world, tmp_path)
    run_up(world.effects)
    files = {**FILES, "config/settings.env": FILES["config/settings.env"] + b"GATEWAY_REQUEST_TIMEOUT_S=30\n"}
    install(world, tmp_path, files=files, version=2)
    assert run_up(world.effects).started == ("api-gateway",)


def test_a_release_that_is_gone_stops_everything_rather_than_pull_and_build(world: World) -> None:
    world.links.add(SITE / "offline" / "current")
    error = raised_by(lambda: load_site(world.effects))
    assert "not there any more" in error.message


# A successor that was loaded and does not run yet


def test_what_runs_is_healthy_after_its_successor_was_loaded(world: World, release: Manifest, tmp_path: Path) -> None:
    world.answers["/v1/chat/completions"] = ANSWER
    run_up(world.effects)
    files = FILES | {
        "config/settings.env": FILES["config/settings.env"].replace(b"SLOTS=2", b"SLOTS=3"),
        "config/known-answer.json": b'{"question": "Who else?", "answer": "You."}',
    }
    models = {**MODELS, "local-chat": {"demo.gguf": b"another"}}
    install(world, tmp_path, files=files, models=models, version=2)
    running = load_running(world.effects)
    assert running.known_answer == ("Who?", "Me.")
    assert running.loaded.settings.inference_slots == 2
    report = check_health(world.effects, running)
    assert (report.status, report.notice) == (Status.OK, "release 2 is loaded, 1 runs: run 'stackctl up'")
    status = load_status(world.effects)
    assert status is not None
    assert status.notice == report.notice
    run_up(world.effects)
    assert check_health(world.effects, load_running(world.effects)).notice == ""


def test_files_of_the_site_itself_that_run_stay_what_is_judged(world: World, tmp_path: Path) -> None:
    run_up(world.effects)
    before = load_running(world.effects).plan.services
    install(world, tmp_path)
    running = load_running(world.effects)
    assert running.plan.services == before
    assert running.successor == "release 1 is loaded, the site's own files run: run 'stackctl up'"


def test_two_releases_of_one_version_are_told_apart_by_their_ids(world: World, release: Manifest) -> None:
    other = release.model_copy(update={"id": "f" * 64})
    assert explain_successor(release, title_release(other)) == (
        f"release {release.short_id} is loaded, {'f' * 12} runs: run 'stackctl up'"
    )
    assert find_short_id(title_release(release)) == release.short_id
    assert (find_short_id(""), find_short_id("own 1 (0123)")) == ("", "")


@pytest.mark.parametrize(("built_for", "device"), [("nvidia", "nvidia"), ("none", "none")])
def test_an_engine_that_the_release_brought_computes_on_what_it_was_built_for(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, built_for: str, device: str
) -> None:
    engine = PackedEngine.model_validate(
        {"path": "engine/llama-server", "title": "llama-server 7", "gpu": built_for, "glibc": "2.34", "driver": ""}
    )
    files = {**FILES, "engine/llama-server": b"program"}
    install(world, tmp_path, files=files, images=[], runtimes=("process",), engine=engine)
    monkeypatch.setattr(
        "stackctl.operations.site.placement.choose_gpu", lambda host, wanted: Choice("nvidia", "NVIDIA X")
    )
    loaded = load_site(world.effects)
    assert loaded.choice.form.command[0].endswith("/files/engine/llama-server")
    choice, findings = choose_device(world.effects, Host(), loaded, "process")
    assert choice.value == device
    assert bool(findings) == (device == "none")
    messages = [finding.message for finding in run_doctor(world.effects)]
    assert any("the release's llama-server 7" in message for message in messages)
    assert not any("no engine image" in message for message in messages)


def test_a_folder_of_the_release_is_served_by_vllm_from_the_store(world: World, tmp_path: Path) -> None:
    files = {
        **FILES,
        "config/stack.yml": b"version: 1\nmodels: {local-chat: {file: Qwen3-8B, engine: vllm}}\n",
        "config/settings.env": b"EMBEDDING_MODEL=none\n",
    }
    models = {"local-chat": {"config.json": b"{}", "model.safetensors": b"weights"}}
    manifest = install(world, tmp_path, files=files, models=models)
    (model,) = load_site(world.effects).compose.models
    assert model.path == f"/site/offline/store/models/{manifest.models[0].digest[:16]}"
    assert model.engine == "vllm"


def test_a_release_with_vllm_s_image_alone_is_for_nvidia_s_gpus(world: World, tmp_path: Path) -> None:
    manifest = install(world, tmp_path)
    images = tuple(
        image if image.uses == ("api-gateway",) else image.model_copy(update={"uses": ("vllm.nvidia",)})
        for image in manifest.images
    )
    release = load_release(world.effects)
    assert release is not None
    release = replace(release, manifest=manifest.model_copy(update={"images": images}))
    assert release.gpus == ("nvidia",)
    assert choose_release_images(release.images, "", "").vllm == release.images["vllm.nvidia"] != ""


@pytest.mark.parametrize("runtime", ["process", "compose"])
def test_an_own_service_that_the_release_does_not_bring_is_refused_before_anything_starts(
    world: World, tmp_path: Path, runtime: str
) -> None:
    install(world, tmp_path, runtimes=("compose", "process"))
    key = "planted-chat-api-key"
    world.files[SITE / ".env"] = write_env(STACK_APPS="chat-api", CHAT_API_GATEWAY_KEY=key, STACK_RUNTIME=runtime)
    error = raised_by(lambda: run_up(world.effects))
    missing = {"process": "has no packages for chat-api", "compose": "has no image for chat-api"}[runtime]
    assert missing in str(error)
    assert "pack again with STACK_APPS=chat-api" in error.hint
    assert world.running == []
