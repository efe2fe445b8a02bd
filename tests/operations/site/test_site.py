"""A site's files: made by init, loaded with every problem at its place, rendered to disk."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from stackctl.core.models.files import ModelFile
from stackctl.core.models.gguf import GGUFError
from stackctl.core.settings.dotenv import parse_dotenv
from stackctl.errors import ConfigError
from stackctl.operations.look.doctor import run_doctor
from stackctl.operations.look.listed_models import list_models
from stackctl.operations.site.init import run_init
from stackctl.operations.site.load import load_site
from stackctl.operations.site.load_settings import load_settings
from stackctl.operations.site.render import check_rendered, run_render
from tests.fakes import KEYS, SITE, World, build_model_files, raised_by, write_env
from tests.gguf_files import build_header


def places_of(error: Exception) -> list[str]:
    assert isinstance(error, ConfigError)
    return [finding.render_text() for finding in error.findings]


def test_init_makes_a_site_whose_keys_are_fresh_and_private(world: World) -> None:
    world.files.clear()
    said = run_init(world.effects)
    values = parse_dotenv(world.files[SITE / ".env"]).values
    assert {name for name in KEYS if values[name].startswith("sk-made")} == set(KEYS)
    assert world.modes[SITE / ".env"] == 0o600
    made = (".env", "stack.yml", "stack.schema.json", "models/README.txt")
    assert set(world.files) == {SITE / name for name in made}
    assert [line.split()[:2] for line in said] == [
        ["created", str(SITE / name)] for name in (".env", "stack.schema.json", "stack.yml", "models")
    ]
    load_site(world.effects)


@pytest.mark.parametrize("name", ["a\nsite", "site #2", "\udcff"])
def test_init_makes_nothing_where_no_stack_could_start(world: World, name: str) -> None:
    world.files.clear()
    effects = replace(world.effects, paths=replace(world.effects.paths, site=Path("/srv") / name))
    error = raised_by(lambda: run_init(effects))
    assert isinstance(error, ConfigError)
    assert error.hint == "rename the folder"
    assert world.files == {}


def test_init_keeps_what_is_there(world: World) -> None:
    text = "# mine\r\nCHAT_MODEL='a b.gguf'\nGATEWAY_KEY=mine-and-long-enough\nGATEWAY_ADMIN_KEY=\n"
    world.files = {SITE / ".env": text, SITE / "stack.yml": "version: 1"}
    run_init(world.effects)
    values = parse_dotenv(world.files[SITE / ".env"]).values
    assert (values["CHAT_MODEL"], values["GATEWAY_KEY"]) == ("a b.gguf", "mine-and-long-enough")
    assert values["GATEWAY_ADMIN_KEY"].startswith("sk-made")
    assert "# mine" in world.files[SITE / ".env"]
    assert world.files[SITE / "stack.yml"] == "version: 1"
    before = dict(world.files)
    run_init(world.effects)
    assert world.files == before


def test_init_repairs_an_empty_key_that_stands_twice(world: World) -> None:
    world.files[SITE / ".env"] = write_env() + "GATEWAY_KEY=\n"
    run_init(world.effects)
    assert parse_dotenv(world.files[SITE / ".env"]).values["GATEWAY_KEY"]


def test_init_does_not_touch_a_file_it_cannot_read(world: World) -> None:
    world.files[SITE / ".env"] = "GATEWAY_KEY='open\n"
    before = dict(world.files)
    assert isinstance(raised_by(lambda: run_init(world.effects)), ConfigError)
    assert world.files == before


def test_problems_of_both_files_are_reported_together(world: World) -> None:
    world.files[SITE / ".env"] = "STACK_GPU=cuda\n\nINFERENCE_PORT=many\n"
    world.files[SITE / "stack.yml"] = "version: 1\nrouts: {}\n"
    assert places_of(raised_by(lambda: load_settings(world.effects))) == [
        ".env:1: STACK_GPU: is 'cuda'; expected one of auto, none, nvidia, amd, vulkan",
        ".env:3: INFERENCE_PORT: is 'many'; expected a whole number from 1 to 65000 (port)",
        "stack.yml:2: routs: is not a key of this section",
    ]


def test_a_variable_that_stack_yml_names_is_known_even_while_it_cannot_be_read(world: World) -> None:
    world.files[SITE / ".env"] = write_env(COMPANY_TOKEN="x")
    world.files[SITE / "stack.yml"] = "routs: {}\n"
    assert places_of(raised_by(lambda: load_settings(world.effects))) == [
        "stack.yml:1: routs: is not a key of this section"
    ]


MODELS = SITE / "models"


@pytest.mark.parametrize(
    ("env", "stack", "place", "words"),
    [
        ({"CHAT_MODEL": "gone.gguf"}, "", ".env:4: CHAT_MODEL", "gone.gguf: no such model file"),
        ({"CODE_MODEL": "text.gguf"}, "", ".env:4: CODE_MODEL", "not a GGUF file"),
        ({"CHAT_MODEL": "split-00001-of-00002.gguf"}, "", ".env:4: CHAT_MODEL", "split-00002-of-00002.gguf is missing"),
        ({"API_GATEWAY_PORT": 8003}, "", ".env:4: API_GATEWAY_PORT", "8003 is also the port of local-embed"),
        ({"INFERENCE_PORT": 8000}, "", ".env:4: INFERENCE_PORT", "8000"),
        ({}, "\nmodels:\n  m: {file: gone.gguf}\n", "stack.yml:3: models.m.file", "no such model file"),
        (
            {"CODE_MODEL": "a.gguf"},
            "models:\n  local-code: {file: b.gguf}\n",
            ".env:4: CODE_MODEL",
            "'local-code' is also served by models.local-code in stack.yml",
        ),
        (
            {},
            "providers:\n  o:\n    kind: openai\n    api_base: http://o\n    models:\n      local-chat: {model: m}\n",
            "stack.yml:6: providers.o.models.local-chat",
            "already served by CHAT_MODEL",
        ),
        (
            {},
            "routes:\n  local-chat:\n    fallbacks: [local-cod]\n",
            "stack.yml:2: routes.local-chat",
            "'local-cod' is no served name",
        ),
        ({}, "limits:\n  models:\n    gpt: {}\n", "stack.yml:2: limits.models", "'gpt' is no served name"),
        (
            {},
            "providers:\n  o:\n    kind: openai\n    api_key: OPENAI_KEY\n    models: {gpt: {model: m}}\n",
            "stack.yml:4",
            "OPENAI_KEY",
        ),
        ({"BIND_ADDRESS": "1.2.3"}, "", ".env:4: BIND_ADDRESS", "expected an IP address"),
        ({"CONTAINER_USER": "0:0"}, "", ".env:4: CONTAINER_USER", "0:0"),
    ],
)
def test_bad_input_is_named_with_its_place(
    world: World, env: dict[str, object], stack: str, place: str, words: str
) -> None:
    world.files[SITE / ".env"] = write_env(**env)
    world.files[SITE / "stack.yml"] = stack
    broken = ModelFile(str(MODELS / "text.gguf"), error=GGUFError("not a GGUF file", "name another"))
    whole, _ = build_model_files(MODELS / "split-00001-of-00002.gguf")
    world.broken_models = {
        MODELS / "gone.gguf": (ModelFile(str(MODELS / "gone.gguf")),),
        MODELS / "text.gguf": (broken,),
        MODELS / "split-00001-of-00002.gguf": (whole, ModelFile(str(MODELS / "split-00002-of-00002.gguf"))),
    }
    (text,) = places_of(raised_by(lambda: load_site(world.effects)))
    assert text.startswith(place)
    assert words in text


def test_every_unusable_model_is_reported_in_one_run(world: World) -> None:
    world.files[SITE / ".env"] = write_env(CHAT_MODEL="a.gguf", CODE_MODEL="b.gguf")
    world.broken_models = {MODELS / name: (ModelFile(str(MODELS / name)),) for name in ("a.gguf", "b.gguf")}
    assert [text.split(": ")[1] for text in places_of(raised_by(lambda: load_site(world.effects)))] == [
        "CHAT_MODEL",
        "CODE_MODEL",
    ]


def test_two_providers_never_share_an_address(world: World) -> None:
    entry = "{{kind: openai-compatible, api_base: 'http://{0}/v1', models: {{{0}: {{model: m}}}}}}"
    world.files[SITE / "stack.yml"] = f"providers:\n  my-co: {entry.format('a')}\n  my.co: {entry.format('b')}\n"
    assert "my.co" in str(raised_by(lambda: load_site(world.effects)))


@pytest.mark.parametrize("name", ["a #1", "a ;b", "two\nlines"])
def test_a_site_path_that_supervisor_cannot_read_is_refused(name: str) -> None:
    error = raised_by(lambda: load_site(World(site=Path("/srv") / name).effects))
    assert isinstance(error, ConfigError)
    assert "site's path" in error.message


def test_an_empty_variable_of_the_environment_hides_nothing(world: World) -> None:
    world.files[SITE / ".env"] = write_env(OPENAI_KEY="planted")
    world.files[SITE / "stack.yml"] = "providers: {o: {kind: openai, api_key: OPENAI_KEY, models: {g: {model: m}}}}"
    world.environment["OPENAI_KEY"] = ""
    assert load_site(world.effects).resolved.variables == {"OPENAI_KEY": "planted"}


def test_render_writes_once_and_check_tells_what_differs(world: World) -> None:
    assert all(changed for _, changed in run_render(world.effects, None)[0])
    assert not any(changed for _, changed in run_render(world.effects, None)[0])
    assert check_rendered(world.effects, None) == ""
    world.files[SITE / ".env"] = write_env(API_GATEWAY_PORT=9000)
    difference = check_rendered(world.effects, None)
    assert '+    ports: ["127.0.0.1:9000:9000"]' in difference


def test_a_failing_render_writes_nothing(world: World) -> None:
    world.files[SITE / ".env"] = write_env(INFERENCE_PORT=8000)
    before = dict(world.files)
    raised_by(lambda: run_render(world.effects, None))
    assert world.files == before


def test_a_stack_yaml_is_not_passed_over(world: World) -> None:
    world.files[SITE / "stack.yaml"] = "models: {a: {file: a.gguf}}"
    for text in ("", "version: 1\n# nothing\n"):
        world.files[SITE / "stack.yml"] = text
        error = raised_by(lambda: load_site(world.effects))
        assert (error.exit_code, error.hint) == (3, "mv stack.yaml stack.yml")
    world.files[SITE / "stack.yml"] = "limits: {retries: 1}"
    loaded = load_site(world.effects)
    assert loaded.stackfile.limits.retries == 1
    (finding,) = (item for item in loaded.warnings if item.subject == "stack.yaml")
    assert (finding.file, "stack.yml" in finding.message) == (f"{SITE}/stack.yaml", True)
    del world.files[SITE / "stack.yaml"]
    assert not [item for item in load_site(world.effects).warnings if item.subject == "stack.yaml"]


@pytest.mark.parametrize(
    "name",
    ["qwen2.5-coder-7b", "QWEN2.5-Coder-7B", "qwen2.5-coder-7b-instruct-q4_k_m", "models/qwen2.5-coder-7b"],
)
def test_a_name_of_the_catalog_is_a_model_to_pull(name: str) -> None:
    world = World(write_env(CHAT_MODEL=name))
    path = SITE / "models" / name
    world.broken_models[path] = (ModelFile(str(path), neighbours=("another.gguf",)),)
    error = raised_by(lambda: load_site(world.effects))
    assert [finding.hint for finding in error.findings] == ["run 'stackctl models pull qwen2.5-coder-7b'"]


def test_no_chat_model_is_an_error_about_that_setting() -> None:
    error = raised_by(lambda: load_site(World(write_env(CHAT_MODEL="none")).effects))
    assert [(finding.subject, finding.line) for finding in error.findings] == [("CHAT_MODEL", 4)]
    assert "leave CHAT_MODEL empty" in error.hint


def test_a_model_without_tools_says_so() -> None:
    plain, able = SITE / "models" / "plain.gguf", SITE / "models" / "able.gguf"
    world = World(write_env(CHAT_MODEL="plain.gguf", CODE_MODEL="able.gguf"))
    for path, has_tools in ((plain, False), (able, True)):
        world.broken_models[path] = (ModelFile(str(path), build_header(has_tools=has_tools)),)
    assert {row.served_name: row.note for row in list_models(world.effects)} == {
        "local-chat": "this model cannot call tools",
        "local-code": "",
        "local-embed": "demo model",
    }
    told = [finding.message for finding in run_doctor(world.effects) if "trained for" in finding.message]
    assert [text.endswith("; this model cannot call tools") for text in told] == [True, False, False]
