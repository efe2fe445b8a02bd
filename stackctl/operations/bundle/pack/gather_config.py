"""Gather the configuration that a bundle carries: the stack, its settings, and what they render to at a site.

In: a loaded site and its gathered images and models. Out: texts by path in the release. Reads through its effects.
Nothing of the packing machine and no secret is in it; what cannot be packed is reported together.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from stackctl.core.apps.catalog import render_app_files
from stackctl.core.bundle.format.installed_paths import (
    KNOWN_ANSWER_FILE,
    RENDERED_FOLDER,
    SETTINGS_FILE,
    STACK_FILE,
    model_folder,
)
from stackctl.core.bundle.pack.travel import check_compose, check_texts, drop_machine_settings, render_settings
from stackctl.core.engine.vllm import VLLM_USE
from stackctl.core.models.served import ServedModel
from stackctl.core.site.loaded_site import LoadedSite
from stackctl.core.stack.image_choice import APP_USE, GPUS, Images
from stackctl.core.stack.names import COMPOSE_FILE, GATEWAY, GATEWAY_CONFIG, GPU_OVERLAYS
from stackctl.core.stack.stack import RuntimePaths
from stackctl.errors import BundleError, Finding
from stackctl.operations.bundle.pack.gather import Gathered
from stackctl.operations.effects import Effects
from stackctl.operations.site.render import collect_secrets, load_known_answer, render_site


def gather_config(effects: Effects, loaded: LoadedSite, content: Gathered, gpus: tuple[str, ...]) -> dict[str, str]:
    """The configuration, text by path in the release: `stack.yml`, settings, known answer, and what they render to.

    Raises:
        BundleError: the project cannot work without a network.
    """
    stack_text = (
        loaded.release.stack_text if loaded.release else effects.files.load_text(effects.paths.site / "stack.yml")
    )
    texts = {
        STACK_FILE: stack_text or "",
        SETTINGS_FILE: render_settings(loaded.resolved),
    }
    if any(model.is_demo for model in loaded.process.models):
        question, answer = load_known_answer(effects, loaded.release)
        texts[KNOWN_ANSWER_FILE] = json.dumps({"question": question, "answer": answer}, indent=1) + "\n"
    findings: list[Finding] = []
    for name, text in _render_travelling(effects, loaded, content, gpus).items():
        texts[f"{RENDERED_FOLDER}/{name}"] = text
        findings += check_compose(name, text) if name in (COMPOSE_FILE, *GPU_OVERLAYS.values()) else []
    _raise_findings(findings)
    return texts


def check_secrecy(texts: Mapping[str, str], loaded: LoadedSite) -> None:
    """Refuse texts that hold a secret.

    Raises:
        BundleError: a text holds a secret; names every one.
    """
    _raise_findings(list(check_texts(texts, collect_secrets(loaded))))


def _raise_findings(findings: list[Finding]) -> None:
    if findings:
        raise BundleError("The configuration cannot travel.", findings[0].hint, findings)


def _render_travelling(
    effects: Effects, loaded: LoadedSite, content: Gathered, gpus: tuple[str, ...]
) -> dict[str, str]:
    """The rendered files as the site will have them: images by alias, models in the store, no path of this machine."""
    aliases = {use: image.alias for image in content.images for use in image.uses}
    packed = {name: model for model in content.models for name in model.served_names}
    settings = drop_machine_settings(loaded.settings)
    first_port = settings.inference_port - loaded.settings.inference_port

    def move(model: ServedModel) -> ServedModel:
        folder = model_folder(packed[model.served_name].digest)
        shards = tuple(f"/site/offline/{folder}/{Path(path).name}" for path in model.shards)
        return replace(model, shards=shards, port=model.port + first_port)

    models = tuple(move(model) for model in loaded.compose.models)
    compose = replace(loaded.compose, settings=settings, models=models)
    default = loaded.images.inference["none"]
    inference = {gpu: aliases.get(f"inference.{gpu}", default) for gpu in ("none", *GPUS)}
    vllm = aliases.get(VLLM_USE, loaded.images.vllm)
    apps = {name: aliases.get(f"{APP_USE}{name}", image) for name, image in loaded.images.apps.items()}
    gateway, built = aliases.get(GATEWAY, loaded.images.gateway), loaded.images.built_apps
    images = Images(gateway, inference, True, True, vllm=vllm, apps=apps, built_apps=built)
    rendered = render_site(effects, replace(loaded, compose=compose, images=images)).files
    kept = {GATEWAY_CONFIG}
    if content.images:
        kept |= {
            *render_app_files(settings, RuntimePaths("compose").apps),
            COMPOSE_FILE,
            *(file for way, file in GPU_OVERLAYS.items() if way.partition("-")[0] in gpus),
        }
    return {name: text for name, text in rendered.items() if name in kept}
