"""Rendered files: their exact bytes, and that real readers take them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from stackctl.core.stack.names import COMPOSE_FILE, GATEWAY_CONFIG, GPU_OVERLAYS, LITELLM_FILE, RELAY_FILE
from stackctl.operations.site.render import render_standalone
from tests.fakes import CHECKOUT
from tests.golden.rendering import CASES, NAMES, hash_case, load_case, load_expected, load_world

each_case = pytest.mark.parametrize("name", NAMES)


@each_case
def test_the_rendered_files_are_the_expected_ones(name: str, pytestconfig: pytest.Config) -> None:
    files = {file: text for file, text in load_case(name)[1].files.items() if file != RELAY_FILE}
    if pytestconfig.getoption("--update-goldens"):
        folder = CASES / name / "expected"
        folder.mkdir(exist_ok=True)
        for stale in {path.name for path in folder.iterdir()} - files.keys():
            (folder / stale).unlink()
        for file, text in files.items():
            (folder / file).write_text(text, encoding="utf-8")
    assert load_expected(name) == files


@pytest.mark.parametrize("name", ["providers", "routes"])
def test_the_standalone_configuration_is_the_expected_one(name: str, pytestconfig: pytest.Config) -> None:
    text, _ = render_standalone(load_world(name).effects, None)
    expected = CASES / name / LITELLM_FILE
    if pytestconfig.getoption("--update-goldens"):
        expected.write_text(text, encoding="utf-8")
    assert expected.read_text(encoding="utf-8") == text
    assert "planted" not in text
    assert "gateway" not in yaml.safe_load(text)


def test_the_ingress_s_program_is_rendered_as_it_is() -> None:
    program = (CHECKOUT / "stackctl" / "programs" / RELAY_FILE).read_text(encoding="utf-8")
    assert load_case("demo")[1].files[RELAY_FILE] == program


def test_rendering_depends_on_no_hash_seed() -> None:
    """Sets and dictionaries have another order in another process; the files must not."""
    environment = {**os.environ, "PYTHONHASHSEED": "4711"}
    argv = [sys.executable, "-m", "tests.golden.rendering"]
    done = subprocess.run(argv, cwd=CHECKOUT, env=environment, capture_output=True, text=True, check=True)
    assert done.stdout.split() == [hash_case(name) for name in NAMES]


@each_case
def test_docker_compose_takes_the_file_with_each_overlay(name: str, docker_compose: str, tmp_path: Path) -> None:
    loaded, rendered = load_case(name)
    for file, text in rendered.files.items():
        (tmp_path / file).write_text(text, encoding="utf-8")
    variables = {variable: "x" for service in rendered.compose_services for variable in service.secrets.values()}
    for overlays in ([], *([overlay] for overlay in GPU_OVERLAYS.values())):
        files = [part for file in (COMPOSE_FILE, *overlays) for part in ("--file", str(tmp_path / file))]
        argv = [docker_compose, "compose", *files, "--env-file", "/dev/null", "config", "--format", "json"]
        done = subprocess.run(argv, env={**os.environ, **variables}, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        # Compose doubles every $ of what it prints, as it must be written in a file.
        read = json.loads(done.stdout.replace("$$", "$"))
        assert read["name"] == loaded.settings.stack_name
        for service in rendered.compose_services:
            container = read["services"][service.name]
            entrypoint = tuple(container["entrypoint"]) if service.app else ()
            assert (*entrypoint, *(container.get("command") or ())) == service.arguments
            assert {name: container["environment"][name] for name in service.environment} == service.environment


@each_case
def test_no_secret_is_in_any_file(name: str) -> None:
    for file, text in load_case(name)[1].files.items():
        assert "planted" not in text, file


@each_case
def test_litellm_reads_addresses_and_keys_from_the_environment(name: str) -> None:
    loaded, rendered = load_case(name)
    config = yaml.safe_load(rendered.files[GATEWAY_CONFIG])
    gateways = [services[-1] for services in (rendered.compose_services, rendered.process_services)]
    for entry in config["model_list"]:
        for value in (entry["litellm_params"].get("api_base"), entry["litellm_params"]["api_key"]):
            if value not in (None, "none"):
                variable = value.removeprefix("os.environ/")
                assert variable != value
                assert all(variable in {*gateway.environment, *gateway.secrets} for gateway in gateways)
    assert [entry["model_name"] for entry in config["model_list"]] == [
        *(model.served_name for model in loaded.process.models),
        *(endpoint.served_name for endpoint in loaded.process.endpoints),
    ]
