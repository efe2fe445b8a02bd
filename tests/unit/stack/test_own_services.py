"""The stack's own services on top of the gateway: what they are told, by whom they are reached, what they reach."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from agents.settings import parse_settings as parse_agents_settings
from chat_api.config.settings import parse_settings as parse_chat_settings

from stackctl.core.apps.app import TRUSTED_FILE, AppPlaces, OwnProgram
from stackctl.core.apps.catalog import link_apps, list_app_services, list_own_services
from stackctl.core.apps.observability.app import OBSERVABILITY
from stackctl.core.apps.own_service import name_prefix
from stackctl.core.engine.engines import LLAMA_CPP
from stackctl.core.images.build import list_builds, list_loaded, list_pulls
from stackctl.core.images.checks import check_program, list_named_images
from stackctl.core.settings.settings import Settings, list_settings
from stackctl.core.settings.value_text import parse_value
from stackctl.core.stack.image_choice import Images, choose_images, choose_release_images

KEYS = {"chat_api_gateway_key": "planted-chat-key", "agents_gateway_key": "planted-agents-key"}
CONTAINER = AppPlaces(in_container=True)
PROCESS = AppPlaces(
    in_container=False,
    state="/site/.stack",
    own={"chat-api": OwnProgram("/envs/chat-api/bin/python", "/data/services/chat-api", "d1")},
)


def make_settings(**values: Any) -> Settings:
    return Settings(**{"stack_apps": "chat-api,agents", **KEYS, **values})


def build_environment(places: AppPlaces, **values: Any) -> dict[str, str]:
    """The variables of the chat API."""
    service = next(item for item in list_app_services(make_settings(**values), places) if item.name == "chat-api")
    return dict(service.environment)


def choose(settings: Settings, **tags: str) -> Images:
    return choose_images(settings, LLAMA_CPP, "a", "b", app_tags={"chat-api": "c", "agents": "d", **tags})


def test_every_setting_of_a_service_reaches_it_under_its_name_and_no_other_does() -> None:
    values = build_environment(CONTAINER, chat_api_default_system_message="Say 'no'.", chat_api_sessions="disk")
    assert values["CHAT_API_DEFAULT_SYSTEM_MESSAGE"] == "Say 'no'."
    assert values["CHAT_API_FOLDER"] == "/var/lib/chat-api"
    own = {item.name.upper() for item in list_settings() if item.metadata["app"] == "chat-api"}
    apart = {f"CHAT_API_{name}" for name in ("IMAGE", "LOG_FILE", "ALLOWED_HOSTS")}
    apart |= {item.name.upper() for item in list_settings() if item.metadata["secret"]}
    assert own - apart <= set(values)
    assert not [name for name in values if name.startswith(("AGENTS_", "GATEWAY_"))]


class Recorder(dict[str, str]):
    """Variables that remember which of them were read."""

    def __init__(self) -> None:
        self.read: set[str] = set()

    def get(self, name: str, default: Any = None) -> Any:
        self.read.add(name)
        return default


@pytest.mark.parametrize(("service", "parse"), [("chat-api", parse_chat_settings), ("agents", parse_agents_settings)])
def test_a_service_reads_what_it_is_told_and_is_told_what_it_reads(service: str, parse: Callable[[Any], Any]) -> None:
    """No setting without effect, and no option of a service that nobody can set."""
    prefix = name_prefix(service)
    everything = {
        "gateway_ca_bundle": "/site/ca.pem",
        **{item.name: "x" for item in list_settings() if item.name.upper().startswith(prefix) and item.default == ""},
    }
    at_app = {"stack_apps": "postgres,chat-api,agents"}
    kept_at: tuple[dict[str, str], ...] = ({}, {"chat_api_database_url": "postgresql://u:p@db/d"}, at_app)
    told: set[str] = set()
    for more in kept_at:
        values = make_settings(**{**everything, "chat_api_sessions": "disk", "chat_api_database_url": "", **more})
        found = next(item for item in list_app_services(values, CONTAINER) if item.name == service)
        told |= {name for name in (*found.environment, *found.secrets) if name.startswith(prefix)}
    recorder = Recorder()
    parse(recorder)
    assert recorder.read == told


def test_a_company_s_authority_is_given_to_the_one_who_has_a_database_elsewhere() -> None:
    trusted = {"gateway_ca_bundle": "/site/ca.pem", "chat_api_sessions": "disk"}
    away = {**trusted, "chat_api_database_url": "postgresql://u:p@db/d"}
    assert build_environment(CONTAINER, **away)["CHAT_API_CA_BUNDLE"] == TRUSTED_FILE
    assert build_environment(PROCESS, **away)["CHAT_API_CA_BUNDLE"] == "/site/ca.pem"
    assert [item.trusts for item in list_app_services(make_settings(**away), CONTAINER)] == ["/site/ca.pem", ""]
    assert "CHAT_API_CA_BUNDLE" not in build_environment(CONTAINER, **trusted)


def test_a_switch_is_told_in_lower_case() -> None:
    (service,) = list_app_services(make_settings(stack_apps="agents", agents_open=True), CONTAINER)
    assert service.environment["AGENTS_OPEN"] == "true"


def test_what_is_empty_is_left_to_the_service() -> None:
    assert not [name for name, value in build_environment(CONTAINER).items() if not value and name != "SERVICE_FOLDER"]


def test_it_finds_the_gateway_and_its_program_in_both_runtimes() -> None:
    inside, here = build_environment(CONTAINER), build_environment(PROCESS, bind_address="0.0.0.0")
    assert (inside["CHAT_API_HOST"], inside["CHAT_API_GATEWAY_URL"]) == ("0.0.0.0", "http://api-gateway:8000")
    assert (here["CHAT_API_HOST"], here["CHAT_API_GATEWAY_URL"]) == ("127.0.0.1", "http://127.0.0.1:8000")
    assert here["SERVICE_PYTHON"] == "/envs/chat-api/bin/python"
    assert (here["PYTHONPATH"], here["SERVICE_DIGEST"]) == ("/data/services/chat-api", "d1")
    assert "PYTHONPATH" not in inside


def test_each_has_a_key_of_its_own_that_the_gateway_is_told() -> None:
    assert link_apps(make_settings(), CONTAINER).secrets == {
        "GATEWAY_SERVICE_KEY_CHAT_API": "CHAT_API_GATEWAY_KEY",
        "GATEWAY_SERVICE_KEY_AGENTS": "AGENTS_GATEWAY_KEY",
    }
    for service in list_app_services(make_settings(), CONTAINER):
        prefix = service.name.upper().replace("-", "_")
        assert service.secrets == {f"{prefix}_GATEWAY_KEY": f"{prefix}_GATEWAY_KEY"}


def test_a_folder_is_there_only_where_something_is_kept() -> None:
    for values, folder in (
        ({}, ""),
        ({"chat_api_sessions": "disk"}, "/var/lib/chat-api"),
        ({"chat_api_sessions": "disk", "chat_api_database_url": "postgresql://u:p@db/d"}, ""),
        ({"chat_api_log_file": "chat.log"}, "/var/lib/chat-api"),
    ):
        service = list_app_services(make_settings(**values), CONTAINER)[0]
        assert service.folder == folder, values
    assert build_environment(PROCESS, chat_api_log_file="chat.log")["CHAT_API_LOG_FILE"] == (
        "/site/.stack/apps/chat-api/chat.log"
    )


@pytest.mark.parametrize(
    ("url", "reaches"), [("", ""), ("postgresql://u:p@postgres/d", "apps"), ("postgresql://u:p@db/d", "anywhere")]
)
def test_it_reaches_more_than_the_gateway_only_for_its_database(url: str, reaches: str) -> None:
    chat, agents = list_app_services(make_settings(chat_api_sessions="disk", chat_api_database_url=url), CONTAINER)
    assert (chat.reaches, agents.reaches) == (reaches, "")
    # An address that no session is kept at opens no way.
    assert list_app_services(make_settings(chat_api_database_url=url), CONTAINER)[0].reaches == ""


def test_at_the_app_postgres_it_keeps_sessions_by_itself_as_a_user_of_its_own() -> None:
    here = {"stack_apps": "postgres,chat-api", "chat_api_sessions": "disk", "chat_api_database_password": "planted-p"}
    for places, host in ((CONTAINER, "postgres"), (PROCESS, "127.0.0.1")):
        database, chat = list_app_services(make_settings(**here), places)
        assert (
            chat.environment["CHAT_API_DATABASE_URL"] == f"postgresql://chat_api@{host}:15432/postgres?sslmode=disable"
        )
        assert (chat.reaches, chat.folder) == ("apps", "")
        assert chat.secrets.items() & database.secrets.items() == {("CHAT_API_DATABASE_PASSWORD",) * 2}
    elsewhere = ({"chat_api_sessions": "off"}, {"chat_api_database_url": "postgresql://u:p@db/d"})
    for values in elsewhere:
        database, chat = list_app_services(make_settings(**{**here, **values}), CONTAINER)
        assert "CHAT_API_DATABASE_PASSWORD" not in {*chat.secrets, *database.secrets}


def test_prometheus_asks_those_that_there_are_and_they_answer_it() -> None:
    config = OBSERVABILITY.render(make_settings(stack_apps="observability,agents"), CONTAINER)["prometheus.yml"]
    assert "ingress:5602" in config
    assert "chat-api" not in config
    assert "CHAT_API_ALLOWED_HOSTS" not in build_environment(CONTAINER)
    watched = {"stack_apps": "observability,chat-api", "chat_api_allowed_hosts": "chat.example"}
    assert build_environment(CONTAINER, **watched)["CHAT_API_ALLOWED_HOSTS"] == "chat.example,ingress"
    assert build_environment(PROCESS, **watched)["CHAT_API_ALLOWED_HOSTS"] == "chat.example"


def test_its_image_is_built_from_its_folder_and_never_pulled() -> None:
    settings = make_settings(pip_index_url="http://mirror.example/simple")
    images = choose(settings)
    builds = {item.title: item for item in list_builds(settings, LLAMA_CPP, images, "/data", "none")}
    assert builds["chat-api"].folder == "/data/services/chat-api"
    assert builds["chat-api"].arguments == builds["api-gateway"].arguments
    assert builds["agents"].tag == images.apps["agents"]
    assert not [name for name in list_pulls(images, "none") if "chat-api" in name or "agents" in name]
    assert choose(settings).apps == images.apps
    assert choose(settings, agents="other sources").apps["agents"] != images.apps["agents"]
    nothing = choose(Settings())
    assert [item.title for item in list_builds(Settings(), LLAMA_CPP, nothing, "/data", "none")] == ["api-gateway"]
    assert list_own_services(Settings()) == ()


def test_a_named_image_takes_its_place_and_must_be_its_program() -> None:
    settings = make_settings(agents_image="house/agents:1")
    images = choose(settings)
    assert images.built_apps == {"chat-api"}
    assert "house/agents:1" in list_pulls(images, "none")
    (named,) = list_named_images(settings, LLAMA_CPP, images)
    assert check_program(named, ["/opt/venv/bin/python", "-m", "agents"], "") == ()
    (finding,) = check_program(named, ["redis-server"], "")
    assert (finding.subject, finding.hint) == (
        "AGENTS_IMAGE",
        "name an image that was built from services/agents, or clear AGENTS_IMAGE",
    )


def test_a_release_s_image_is_loaded_and_nothing_is_built() -> None:
    images = choose_release_images({"app.chat-api": "loaded.invalid/chat-api:1"}, "", "", apps={"chat-api": ""})
    assert list_builds(make_settings(), LLAMA_CPP, images, "/data", "none") == ()
    assert "loaded.invalid/chat-api:1" in list_loaded(images, "none")


@pytest.mark.parametrize(
    ("name", "text", "is_right"),
    [
        ("chat_api_default_temperature", "2.0", True),
        ("chat_api_default_temperature", "2.1", False),
        ("chat_api_log_file", "../chat.log", False),
        ("chat_api_database_url", "mysql://u:p@db/d", False),
        ("agents_language", "fr", False),
        ("chat_api_allowed_hosts", "http://a", False),
    ],
)
def test_their_settings_are_checked(name: str, text: str, is_right: bool) -> None:
    item = next(item for item in list_settings() if item.name == name)
    assert (parse_value(item, text)[1] == "") is is_right
