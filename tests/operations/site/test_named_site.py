"""A site whose `.env` has the names of other tools: what it starts, and that a shell's own names change nothing."""

from __future__ import annotations

from pathlib import Path

import pytest

from stackctl.core.stack.names import GATEWAY_CONFIG
from stackctl.errors import ConfigError
from stackctl.operations.look.health import check_health
from stackctl.operations.look.listed_models import list_models
from stackctl.operations.run.up import run_up
from stackctl.operations.site.load import load_site
from stackctl.operations.site.load_settings import load_settings
from stackctl.operations.site.render import build_plan, render_site
from stackctl.operations.site.running import load_running
from tests.fakes import SITE, World, raised_by, write_env
from tests.operations.site.test_released_site import FILES, install

PRODUCTION = """\
ENVIRONMENT=production
INTERNAL_LLM_BASE_URL=https://internal-llm-api.company.com
INTERNAL_LLM_API_KEY=planted-api-key
INTERNAL_LLM_MODEL=gpt-4
INTERNAL_LLM_TICKET=planted-ticket
USER_ID=planted-user
USER_TYPE=AD
"""
SHELL = {
    "ENVIRONMENT": "development",
    "USER_ID": "shell-user",
    "USER_TYPE": "shell-type",
    "INTERNAL_LLM_API_KEY": "shell-key",
    "OLLAMA_BASE_URL": "http://shell:11434",
    "OLLAMA_MODEL": "shell-model",
    "MYCODER_OPENAI_BASE_URL": "http://shell/v1",
    "MYCODER_CHAT_MODEL": "shell-model",
    "VLLM_BASE_URL": "http://shell/v1",
}


def render_all(world: World) -> tuple[dict[str, str], dict[str, str]]:
    """Every rendered file, and the variables that a start is given."""
    loaded = load_site(world.effects)
    rendered = render_site(world.effects, loaded)
    return dict(rendered.files), dict(build_plan(loaded, rendered, "compose", "none").variables)


@pytest.mark.parametrize("text", ["", PRODUCTION])
def test_a_shell_s_own_names_change_nothing(world: World, text: str) -> None:
    world.files[SITE / ".env"] = write_env() + text
    without = render_all(world)
    world.environment = dict(SHELL)
    assert render_all(world) == without
    assert "shell" not in str(without)


def test_a_shell_s_own_name_does_not_stand_in_for_one_that_stack_yml_names(world: World) -> None:
    stack = "providers: {x: {kind: vllm, api_base: 'http://h/v1', headers: {X-User: USER_ID}, models: {m: {model: m}}}}"
    world.files[SITE / "stack.yml"] = stack
    world.environment = {"USER_ID": "shell-user"}
    assert "USER_ID, which is not set" in str(raised_by(lambda: load_site(world.effects)))
    world.files[SITE / ".env"] = write_env(USER_ID="mine")
    assert load_site(world.effects).resolved.variables == {"USER_ID": "mine"}


def test_secrets_go_to_the_gateway_and_stand_in_no_rendered_file(world: World) -> None:
    world.files[SITE / ".env"] = write_env() + PRODUCTION
    files, variables = render_all(world)
    assert variables["INTERNAL_LLM_API_KEY"] == "planted-api-key"
    assert variables["INTERNAL_LLM_TICKET"] == "planted-ticket"
    assert variables["USER_ID"] == "planted-user"
    assert not [name for name, text in files.items() if "planted" in text]


def test_the_own_engine_keeps_its_service_under_another_served_name(world: World) -> None:
    world.files[SITE / ".env"] = write_env() + PRODUCTION
    models = load_site(world.effects).compose.models
    assert [(model.served_name, model.service) for model in models] == [
        ("engine-chat", "inference-chat"),
        ("local-embed", "inference-embed"),
    ]


def test_up_and_health_ask_the_own_engine_and_not_the_provider(world: World) -> None:
    world.files[SITE / ".env"] = write_env() + PRODUCTION
    run_up(world.effects)
    report = check_health(world.effects, load_running(world.effects))
    assert {result.subject for result in report.results if result.layer == "completion"} == {"engine-chat"}


def test_what_local_chat_stands_for_is_listed_and_looked_for(world: World) -> None:
    world.files[SITE / ".env"] = write_env() + PRODUCTION + "OLLAMA_BASE_URL=http://h:11434\nOLLAMA_MODEL=m\n"
    run_up(world.effects)
    notes = {row.served_name: row.note for row in list_models(world.effects)}
    assert notes["local-chat"] == "route to internal-chat, ollama-chat"
    report = check_health(world.effects, load_running(world.effects))
    assert "local-chat" in {result.subject for result in report.results if result.layer == "route"}


def test_what_is_missing_is_told_at_its_line_beside_other_problems(world: World) -> None:
    world.files[SITE / ".env"] = write_env() + "ENVIRONMENT=production\nOLLAMA_BASE_ULR=x\n"
    error = raised_by(lambda: load_settings(world.effects))
    assert isinstance(error, ConfigError)
    assert [(finding.line, finding.subject) for finding in error.findings] == [
        (4, "ENVIRONMENT"),
        (5, "OLLAMA_BASE_ULR"),
    ]
    assert error.findings[1].hint == "did you mean 'OLLAMA_BASE_URL'?"


def test_a_name_is_not_taken_for_a_provider_s_variable_where_stack_yml_cannot_be_read(world: World) -> None:
    world.files[SITE / "stack.yml"] = "providers: [\n"
    world.files[SITE / ".env"] = write_env() + "ENVIRONMENT=nowhere\n"
    error = raised_by(lambda: load_settings(world.effects))
    assert {finding.subject for finding in error.findings} >= {"ENVIRONMENT"}


def test_a_model_that_is_served_twice_is_told_as_a_name_of_env(world: World) -> None:
    world.files[SITE / "stack.yml"] = "models: {ollama-chat: {file: x.gguf}}"
    world.files[SITE / ".env"] = write_env() + "OLLAMA_BASE_URL=http://h:1\nOLLAMA_MODEL=m\n"
    error = raised_by(lambda: load_site(world.effects))
    assert [(item.subject, item.file, item.line) for item in error.findings] == [("OLLAMA_MODEL", ".env", 5)]


def test_at_a_site_with_a_release_its_own_names_decide(world: World, tmp_path: Path) -> None:
    release = install(world, tmp_path)
    world.files[SITE / ".env"] = write_env() + PRODUCTION
    loaded = load_site(world.effects)
    models = {model.served_name: model.path for model in loaded.compose.models}
    digest = next(model.digest for model in release.models if "local-chat" in model.served_names)
    assert models["engine-chat"] == f"/site/offline/store/models/{digest[:16]}/demo.gguf"
    assert "PROVIDER_INTERNAL_URL" in render_site(world.effects, loaded).files[GATEWAY_CONFIG]


def test_names_that_a_release_brought_count_behind_the_site_s_own(world: World, tmp_path: Path) -> None:
    files = {**FILES, "config/settings.env": FILES["config/settings.env"] + b"LLM_TIMEOUT=60\nLLM_MAX_RETRIES=1\n"}
    install(world, tmp_path, files=files)
    world.files[SITE / ".env"] = write_env(LLM_TIMEOUT=90)
    route = load_settings(world.effects)[1].routes["local-chat"]
    assert (route.deadline, route.retries) == (90.0, 1)


def test_a_release_does_not_say_where_requests_go(world: World, tmp_path: Path) -> None:
    settings = FILES["config/settings.env"] + b"ENVIRONMENT=development\nOLLAMA_BASE_URL=http://elsewhere:11434\n"
    install(world, tmp_path, files={**FILES, "config/settings.env": settings})
    error = raised_by(lambda: load_settings(world.effects))
    assert [(finding.subject, finding.message) for finding in error.findings] == [
        ("ENVIRONMENT", "is not a setting of this stack"),
        ("OLLAMA_BASE_URL", "is not a setting of this stack"),
    ]


def test_a_switch_decides_its_setting_whatever_else_says_so(world: World) -> None:
    world.files[SITE / ".env"] = write_env(GATEWAY_EMBEDDINGS="true", MYCODER_DISABLE_EMBEDDINGS=1, LLM_DEBUG="true")
    world.environment = {"GATEWAY_LOG_LEVEL": "info"}
    loaded = load_site(world.effects)
    assert (loaded.settings.gateway_embeddings, loaded.settings.gateway_log_level) == (False, "debug")
    rendered = render_site(world.effects, loaded)
    assert "embeddings: false" in rendered.files[GATEWAY_CONFIG]
    assert rendered.process_services[-1].environment["GATEWAY_LOG_LEVEL"] == "debug"


def test_a_route_that_must_stay_in_the_building_does_not_go_to_a_provider_of_env(world: World) -> None:
    """Where a provider is, nobody guesses from its address."""
    world.files[SITE / "stack.yml"] = "routes: {local-chat: {local_only: true}}"
    world.files[SITE / ".env"] = write_env() + PRODUCTION
    error = raised_by(lambda: load_site(world.effects))
    assert "'internal-chat' of the provider 'internal' is not local" in str(error)
